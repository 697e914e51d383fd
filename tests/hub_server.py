"""The Hugging Face hub on this machine: repositories in memory behind the HTTP interface.

Answers the requests of huggingface_hub that make a repository, commit to it, list it and download
from it. Every file is a regular one: none goes to the store of large files.
"""

import base64
import contextlib
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

PACKAGE = "huggingface_hub"
TOKEN, READER = "hf_writes", "hf_reads"
_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|preupload|commit)/([^/]+))?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Repository:
    """A repository in memory.

    Attributes: private; commits, each a dict of contents by name; messages of them.
    """

    def __init__(self, private=False, files=None):
        self.private, self.commits, self.messages = private, [files or {}], ["first"]

    @property
    def files(self):
        return self.commits[-1]

    def number(self, revision):
        """Returns the number of a commit, None where there is no such revision."""
        if revision == "main":
            return len(self.commits) - 1
        known = [_sha(number) for number in range(len(self.commits))]
        return known.index(revision) if revision in known else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        self.server.requests.append(self.requestline)

    def _answer(self, status, content=b"", **headers):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content_Length": len(data)} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _refuse(self, status, code, message=""):
        self._answer(status, {"error": message or code}, X_Error_Code=code)

    @property
    def _token(self):
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _found(self, name, revision):
        """Returns a repository and the number of a commit; answers where there is none."""
        repository = self.server.repositories.get(name)
        if self.server.broken:
            self._answer(503, {"error": "under repair"})
        elif repository is None or (repository.private and self._token != TOKEN):
            self._refuse(404, "RepoNotFound")
        elif repository.number(revision) is None:
            self._refuse(404, "RevisionNotFound")
        else:
            return repository, repository.number(revision)
        return None, None

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if match := _FILE.fullmatch(path):
            self._file(*match.groups())
        elif match := _API.fullmatch(path):
            self._about(match[1], match[2], match[3] or "main")
        else:
            self._answer(404)

    def _file(self, name, revision, path):
        repository, number = self._found(name, revision)
        if repository is None:
            return
        content = repository.commits[number].get(path)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        size = self.server.claimed.get(path, len(content))
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        headers = {"ETag": etag, "X_Repo_Commit": _sha(number)}
        if self.command == "HEAD":
            headers["Content_Length"] = size
        self._answer(200, content, **headers)

    def _about(self, name, kind, revision):
        repository, number = self._found(name, revision)
        if repository is None:
            return
        files = repository.commits[number]
        if kind == "tree":
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": _sha(len(content))}
                for path, content in files.items()
            ]
            self._answer(200, entries)
        else:
            siblings = [{"rfilename": path} for path in files]
            about = {"id": name, "sha": _sha(number), "private": repository.private}
            self._answer(200, about | {"siblings": siblings, "tags": [], "downloads": 0})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        if self._token not in (TOKEN, READER):
            self._answer(401, {"error": "Invalid username or password."})
        elif path == "/api/validate-yaml":
            errors = [{"message": said} for said in self.server.card_errors]
            self._answer(400 if errors else 200, {"errors": errors, "warnings": []})
        elif self._token != TOKEN:
            self._answer(403, {"error": "You don't have the rights"})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        else:
            match = _API.fullmatch(path)
            {"preupload": self._preupload, "commit": self._commit}[match[2]](match[1], body)

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.server.repositories
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories.setdefault(name, Repository(private))
        about = {"url": f"{self.server.url}/{name}", "name": name, "id": name}
        self._answer(409 if there else 200, about)

    def _preupload(self, name, body):
        asked = json.loads(body)["files"]
        modes = {"uploadMode": "regular", "shouldIgnore": False}
        self._answer(200, {"files": [{"path": file["path"], **modes} for file in asked]})

    def _commit(self, name, body):
        repository = self.server.repositories[name]
        files = dict(repository.files)
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                repository.messages.append(value["summary"])
            elif operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                del files[value["path"]]
        repository.commits.append(files)
        sha = _sha(len(repository.commits) - 1)
        url = f"{self.server.url}/{name}/commit/{sha}"
        self._answer(200, {"success": True, "commitOid": sha, "commitUrl": url})


def _sha(number):
    return f"{number:040x}"


class Server(ThreadingHTTPServer):
    """The hub.

    Attributes: repositories by USER/NAME; requests, their first lines; claimed, sizes in bytes that
    files only claim, None for those that say none; card_errors, what is said about any card;
    broken, whether the hub is under repair.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.clear()

    def clear(self):
        self.repositories, self.requests = {}, []
        self.claimed, self.card_errors, self.broken = {}, [], False


@contextlib.contextmanager
def running_hub(home) -> Iterator[Server]:
    """Runs a hub, and imports huggingface_hub anew: it reads address and home folder once."""
    server = Server()
    with pytest.MonkeyPatch.context() as patch:
        for name in _modules():
            patch.delitem(sys.modules, name)
        for name in (
            "HF_TOKEN_PATH",
            "HF_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "HF_HUB_DISABLE_PROGRESS_BARS",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", server.url)
        patch.setenv("HF_HOME", str(home))
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        for name in _modules():
            del sys.modules[name]
    server.shutdown()
    server.server_close()


def _modules():
    return [name for name in sys.modules if name.split(".")[0] == PACKAGE]
