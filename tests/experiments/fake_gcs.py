"""A bucket of Google Cloud Storage on this machine, for gs:// without a cloud.

The server implements tensorstore's part of the JSON API: read, write, list and delete objects, each
with a generation. `Bucket` replaces gcsfs for gs:// in fsspec. As in the real store,
there are no folders, only names with slashes.

Run as a program it starts another one that finds the bucket:
python -m tests.experiments.fake_gcs MODULE ARGUMENTS, with the two variables of `environment` set.
"""

import io
import json
import os
import re
import runpy
import sys
import threading
import types
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

import fsspec
from fsspec.spec import AbstractFileSystem

URL = "TENSORSTORE_GCS_HTTP_URL"
_OBJECTS = re.compile(r"(?:/upload)?/storage/v1/b/([^/]+)/o(?:/(.+))?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        self.server.requests.append(self.requestline)

    def _request(self):
        parts = urlsplit(self.path)
        match = _OBJECTS.fullmatch(parts.path)
        if match is None:  # e.g. the metadata server of a machine in the cloud
            return None, None, {}
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return match[1], unquote(match[2] or ""), query

    def _answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        bucket, name, query = self._request()
        if bucket is None:
            self._answer(404)
        elif ("read", bucket) in self.server.refused:
            self._answer(403)
        elif name:
            self._get(f"{bucket}/{name}", query)
        else:
            self._list(bucket, query)

    def _get(self, key, query):
        generation, content = self.server.objects.get(key, (0, None))
        if content is None:
            self._answer(404)
        elif query.get("ifGenerationNotMatch") == str(generation):
            self._answer(304)
        elif "alt" not in query:
            self._answer(200, json.dumps(_metadata(key, generation, content)).encode())
        else:
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(found[1]) if found else 0
            last = min(int(found[2] or len(content)) if found else len(content), len(content) - 1)
            headers = {"x_goog_generation": generation}
            if found:
                headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            self._answer(206 if found else 200, content[first : last + 1], **headers)

    def _list(self, bucket, query):
        prefix = f"{bucket}/{query.get('prefix', '')}"
        start, end = query.get("startOffset", ""), query.get("endOffset")
        items = [
            _metadata(key, generation, content)
            for key, (generation, content) in sorted(self.server.objects.items())
            if key.startswith(prefix) and key.removeprefix(f"{bucket}/") >= start
        ]
        items = [item for item in items if end is None or item["name"] < end]
        self._answer(200, json.dumps({"items": items}).encode(), Content_Type="application/json")

    def do_POST(self):
        bucket, _, query = self._request()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if ("write", bucket) in self.server.refused:
            self._answer(403)
            return
        key = f"{bucket}/{query['name']}"
        with self.server.lock:
            generation = self.server.objects.get(key, (0, b""))[0]
            if query.get("ifGenerationMatch", str(generation)) != str(generation):
                self._answer(412)
                return
            self.server.generation += 1
            self.server.objects[key] = self.server.generation, content
            generation = self.server.generation
        self._answer(200, json.dumps(_metadata(key, generation, content)).encode())

    def do_DELETE(self):
        bucket, name, query = self._request()
        with self.server.lock:
            generation = self.server.objects.get(f"{bucket}/{name}", (0, b""))[0]
            if query.get("ifGenerationMatch", str(generation)) != str(generation):
                self._answer(412)
                return
            known = self.server.objects.pop(f"{bucket}/{name}", None)
        self._answer(204 if known else 404)


def _metadata(key, generation, content):
    bucket, _, name = key.partition("/")
    size, generation = str(len(content)), str(generation)
    return {"bucket": bucket, "name": name, "size": size, "generation": generation}


class Server(ThreadingHTTPServer):
    """Attributes: objects, by "bucket/name" (generation, content); refused, ("read", bucket)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects, self.refused, self.requests = {}, set(), []
        self.generation, self.lock = 0, threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def files(self, bucket):
        """Returns contents by name."""
        return {
            key.removeprefix(f"{bucket}/"): content
            for key, (_, content) in sorted(self.objects.items())
            if key.startswith(f"{bucket}/")
        }

    def environment(self):
        """Returns the variables by which tensorstore and `Bucket` find the server."""
        return {URL: self.url, "GCE_METADATA_ROOT": self.url.removeprefix("http://")}


class Bucket(AbstractFileSystem):
    """The objects of the server as fsspec shows them."""

    protocol = ("gs", "gcs")
    cachable = False

    def _ask(self, method, path, content=None):
        request = urllib.request.Request(os.environ[URL] + path, content, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code == 404:
                raise FileNotFoundError(path) from None
            if error.code == 403:
                raise OSError(f"Forbidden: {path}") from None
            raise RuntimeError(f"{error}") from None

    def _object(self, path):
        bucket, _, name = self._strip_protocol(path).partition("/")
        return f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"

    def _under(self, path):
        """Returns names and sizes below a folder."""
        bucket, _, name = self._strip_protocol(path).partition("/")
        prefix = f"{name}/" if name else ""
        answer = self._ask("GET", f"/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}")
        return {f"{bucket}/{i['name']}": int(i["size"]) for i in json.loads(answer)["items"]}

    def ls(self, path, detail=True, **options):
        path = self._strip_protocol(path)
        entries = {}
        for name, size in self._under(path).items():
            first, below, _ = name.removeprefix(f"{path}/").partition("/")
            kind = "directory" if below else "file"
            child = f"{path}/{first}"
            entries[child] = {"name": child, "size": 0 if below else size, "type": kind}
        if not entries:
            entries[path] = self._file(path)
        return list(entries.values()) if detail else list(entries)

    def _file(self, path):
        size = int(json.loads(self._ask("GET", self._object(path)))["size"])
        return {"name": self._strip_protocol(path), "size": size, "type": "file"}

    def info(self, path, **options):
        try:
            return self._file(path)
        except FileNotFoundError:
            if not self._under(path):
                raise
            return {"name": self._strip_protocol(path), "size": 0, "type": "directory"}

    def mkdir(self, path, create_parents=True, **options):
        """Does nothing: there are no folders."""

    def makedirs(self, path, exist_ok=False):
        """Does nothing: there are no folders."""

    def rmdir(self, path):
        """Does nothing: there are no folders."""

    def rm(self, path, recursive=False, maxdepth=None):
        for name in self._under(path) if recursive else [path]:
            self._ask("DELETE", self._object(name))

    def cp_file(self, path1, path2, **options):
        self.pipe_file(path2, self.cat_file(path1))

    def _open(self, path, mode="rb", **options):
        if mode == "rb":
            return io.BytesIO(self._ask("GET", self._object(path) + "?alt=media"))
        if mode == "wb":
            return _Upload(self, self._strip_protocol(path))
        raise ValueError(f"an object cannot be opened as {mode}")


class _Upload(io.BytesIO):
    def __init__(self, bucket, path):
        super().__init__()
        self._bucket, self._path = bucket, path

    def close(self):
        if not self.closed:
            bucket, _, name = self._path.partition("/")
            query = f"uploadType=media&name={quote(name, safe='')}"
            content = self.getvalue()
            super().close()
            self._bucket._ask("POST", f"/upload/storage/v1/b/{bucket}/o?{query}", content)


class _Client:
    def get_bucket(self, name):
        return object()  # with no namespace of folders


def register():
    """Makes fsspec, and so etils.epath and orbax's deletion, use it for gs://."""
    for name in Bucket.protocol:
        fsspec.register_implementation(name, Bucket, clobber=True)
    cloud = types.ModuleType("google.cloud")
    cloud.storage = types.SimpleNamespace(Client=_Client)
    sys.modules["google.cloud"] = cloud


if __name__ == "__main__":
    register()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
