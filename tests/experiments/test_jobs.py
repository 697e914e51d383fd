"""The job files: valid, in step with the command line, and restarting exactly when they should.

The scripts run for real, with srun, gcloud and Python replaced by programs that take notes and end
with given exit codes.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from math import prod
from pathlib import Path

import pytest
import yaml

from experiments.terminal.config_names import load_config

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "experiments" / "jobs"
SCRIPTS = ("local.sh", "slurm.sh", "tpu_vm.sh")
JOBSETS = ("gpu_jobset.yaml", "tpu_jobset.yaml")
CONFIG, BUCKET = "--config=waveflow:tiny", "--workdir=gs://bucket/a b"

# Fields by type, after JobSet's v1alpha2 and Kubernetes' batch/v1 and v1; "!" is required.
FIELDS = {
    "JobSet": "apiVersion! kind! metadata!:Metadata spec!:JobSetSpec",
    "Metadata": "name namespace labels annotations",
    "JobSetSpec": "replicatedJobs!:ReplicatedJob network:Network failurePolicy:FailurePolicy "
    "successPolicy coordinator suspend managedBy ttlSecondsAfterFinished volumeClaimPolicies",
    "Network": "enableDNSHostnames subdomain publishNotReadyAddresses",
    "FailurePolicy": "maxRestarts restartStrategy rules:FailureRule",
    "FailureRule": "name! action! onJobFailureReasons onJobFailureMessagePatterns "
    "targetReplicatedJobs",
    "ReplicatedJob": "name! template!:JobTemplate replicas groupName dependsOn",
    "JobTemplate": "metadata:Metadata spec!:JobSpec",
    "JobSpec": "template!:PodTemplate parallelism completions completionMode backoffLimit "
    "podFailurePolicy:PodFailurePolicy podReplacementPolicy activeDeadlineSeconds suspend "
    "ttlSecondsAfterFinished",
    "PodFailurePolicy": "rules!:PodFailureRule",
    "PodFailureRule": "action! onExitCodes:ExitCodes onPodConditions:PodCondition",
    "ExitCodes": "containerName operator! values!",
    "PodCondition": "type! status!",
    "PodTemplate": "metadata:Metadata spec!:PodSpec",
    "PodSpec": "containers!:Container initContainers:Container restartPolicy nodeSelector "
    "tolerations:Toleration terminationGracePeriodSeconds serviceAccountName volumes:Volume "
    "securityContext affinity hostNetwork dnsPolicy priorityClassName schedulerName",
    "Container": "name! image args command env:Env ports:Port resources:Resources workingDir "
    "securityContext:SecurityContext volumeMounts:Mount imagePullPolicy",
    "Env": "name! value valueFrom",
    "Port": "containerPort! name protocol",
    "Resources": "limits requests claims",
    "SecurityContext": "runAsUser runAsGroup runAsNonRoot privileged capabilities",
    "Mount": "name! mountPath! readOnly subPath",
    "Toleration": "key operator value effect tolerationSeconds",
    "Volume": "name! csi:Csi emptyDir:EmptyDir persistentVolumeClaim hostPath configMap secret",
    "Csi": "driver! readOnly volumeAttributes fsType",
    "EmptyDir": "medium sizeLimit",
}


def wrong_fields(node, kind, path=""):
    """Lists unknown or missing fields of a part of a manifest."""
    if isinstance(node, list):
        return [w for i, item in enumerate(node) for w in wrong_fields(item, kind, f"{path}[{i}]")]
    if not isinstance(node, dict):
        return [f"{path}: not a {kind}"]
    fields = {}
    for field in FIELDS[kind].split():
        name, _, inner = field.partition(":")
        fields[name.rstrip("!")] = (name.endswith("!"), inner)
    wrong = [
        f"{path}.{n}: missing" for n, (needed, _) in fields.items() if needed and n not in node
    ]
    for name, value in node.items():
        if name not in fields:
            wrong.append(f"{path}.{name}: no field of {kind}")
        elif fields[name][1]:
            wrong += wrong_fields(value, fields[name][1], f"{path}.{name}")
    return wrong


@pytest.fixture(params=JOBSETS)
def jobset(request):
    return load(request.param)


def load(name):
    return yaml.safe_load((JOBS / name).read_text())


def job_of(jobset):
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]


def container_of(jobset):
    (container,) = job_of(jobset)["template"]["spec"]["containers"]
    return container


def test_jobsets_have_the_fields_they_need_and_no_others(jobset):
    assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert jobset["kind"] == "JobSet"
    assert wrong_fields(jobset, "JobSet") == []


def test_the_check_of_fields_finds_mistakes():
    broken = load("tpu_jobset.yaml")
    del container_of(broken)["name"]
    job_of(broken)["podFailurePolicy"]["rules"][1]["onExitCodes"]["containername"] = "train"
    at = ".spec.replicatedJobs[0].template.spec."
    assert wrong_fields(broken, "JobSet") == [
        f"{at}podFailurePolicy.rules[1].onExitCodes.containername: no field of ExitCodes",
        f"{at}template.spec.containers[0].name: missing",
    ]


def test_jobsets_keep_what_kubernetes_asks_of_them(jobset):
    job, container = job_of(jobset), container_of(jobset)
    pod = job["template"]["spec"]
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?", jobset["metadata"]["name"])
    assert job["parallelism"] == job["completions"]
    assert job["completionMode"] == "Indexed"
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy allows no other
    for rule in job["podFailurePolicy"]["rules"]:
        assert ("onExitCodes" in rule) != ("onPodConditions" in rule)
        assert all(condition["status"] == "True" for condition in rule.get("onPodConditions", ()))
        if codes := rule.get("onExitCodes"):
            assert codes["containerName"] == container["name"]
            assert codes["values"] == sorted(set(codes["values"]) - {0})
    names = [rule["name"] for rule in jobset["spec"]["failurePolicy"]["rules"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", name) for name in names)
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    if any("gcsfuse" in volume.get("csi", {}).get("driver", "") for volume in pod["volumes"]):
        assert job["template"]["metadata"]["annotations"]["gke-gcsfuse/volumes"] == "true"


def restart_action(jobset, code, disrupted=False):
    """Returns the JobSet's action after a pod ended, by the rules of the two controllers.

    Reasons and messages are those of pkg/controller/job/pod_failure_policy.go in Kubernetes and
    pkg/controllers/failure_policy.go in JobSet.
    """
    job = job_of(jobset)
    assert job["backoffLimit"] == 0  # a pod that no rule matches fails the job all the same
    reason, message = "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        assert rule["action"] == "FailJob"  # a pod that is replaced alone would be alone
        if "onPodConditions" in rule:
            matches, what = disrupted, "Pod default/x has condition DisruptionTarget"
        else:
            assert rule["onExitCodes"]["operator"] == "In"
            matches = code in rule["onExitCodes"]["values"]
            what = f"Container train for pod default/x failed with exit code {code}"
        if matches:
            reason, message = "PodFailurePolicy", f"{what} matching FailJob rule at index {index}"
            break
    for rule in jobset["spec"]["failurePolicy"]["rules"]:
        patterns = rule.get("onJobFailureMessagePatterns")
        if reason in rule["onJobFailureReasons"] and (
            not patterns or any(re.search(pattern, message) for pattern in patterns)
        ):
            return rule["action"]
    return "RestartJobSet"


@pytest.mark.parametrize(
    ("code", "disrupted", "action"),
    [
        (75, False, "RestartJobSetAndIgnoreMaxRestarts"),
        (75, True, "RestartJobSetAndIgnoreMaxRestarts"),
        (137, True, "RestartJobSetAndIgnoreMaxRestarts"),
        (1, True, "RestartJobSetAndIgnoreMaxRestarts"),
        (1, False, "FailJobSet"),
        (137, False, "RestartJobSet"),
        (139, False, "RestartJobSet"),
    ],
)
def test_jobsets_start_again_or_fail_by_exit_code(jobset, code, disrupted, action):
    assert restart_action(jobset, code, disrupted) == action
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    assert jobset["spec"]["failurePolicy"]["restartStrategy"] == "BlockingRecreate"


def test_the_tpu_slice_has_as_many_hosts_as_pods():
    jobset = load("tpu_jobset.yaml")
    selector = job_of(jobset)["template"]["spec"]["nodeSelector"]
    chips = prod(int(side) for side in selector["cloud.google.com/gke-tpu-topology"].split("x"))
    per_host = container_of(jobset)["resources"]["limits"]["google.com/tpu"]
    assert chips == per_host * job_of(jobset)["completions"]


def test_gpu_processes_are_told_where_the_first_is_and_who_they_are():
    jobset = load("gpu_jobset.yaml")
    name, job, container = jobset["metadata"]["name"], job_of(jobset), container_of(jobset)
    known = {"JOB_COMPLETION_INDEX": "1"}

    def expand(text):
        return re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], text)

    for variable in container["env"]:  # in their order, as the kubelet does
        if "value" in variable:
            known[variable["name"]] = expand(variable["value"])
        else:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert path == "metadata.labels['jobset.sigs.k8s.io/jobset-name']"
            known[variable["name"]] = name
    port = container["ports"][0]["containerPort"]
    assert expand(container["args"][-1]) == (
        f"--distributed={name}-train-0-0.{name}:{port},{job['completions']},1"
    )
    assert jobset["spec"]["replicatedJobs"][0]["name"] == "train"
    assert jobset["spec"]["network"]["enableDNSHostnames"] is True


def defined_flags():
    sources = [path.read_text() for path in (ROOT / "experiments").glob("*.py")]
    pattern = r"DEFINE_\w+\(\s*[\"'](\w+)[\"']"
    return {name for source in sources for name in re.findall(pattern, source)}


def used_flags(text):
    """Returns options after the program, one of our scripts or the image, to the line's end."""
    lines = re.sub(r"\\\n#?", " ", text).splitlines()
    program = r"(?:experiments\.train|jobs/\w+\.sh|wf_jax:\w+)(.*)"
    said = " ".join(found[1] for line in lines if (found := re.search(program, line)))
    return {flag for flag in re.findall(r"--([\w.]+)", said) if not flag.startswith("config.")}


@pytest.mark.parametrize("name", [*SCRIPTS, "Dockerfile"])
def test_scripts_use_flags_that_exist(name):
    used = used_flags((JOBS / name).read_text())
    assert {"config", "workdir"} <= used
    assert used <= defined_flags()


def test_jobsets_use_flags_that_exist(jobset):
    used = {
        argument.removeprefix("--").partition("=")[0] for argument in container_of(jobset)["args"]
    }
    assert {"config", "workdir", "distributed"} <= used
    assert {flag for flag in used if not flag.startswith("config.")} <= defined_flags()


def test_jobs_use_configs_that_exist():
    text = "".join(path.read_text() for path in JOBS.iterdir() if path.is_file())
    configs = set(re.findall(r"--config=([a-z]\S*)", text))
    assert configs
    for config in configs:
        load_config(config)


def test_the_image_takes_what_it_needs_and_runs_as_a_user():
    text = (JOBS / "Dockerfile").read_text()
    ignored = (JOBS / "Dockerfile.dockerignore").read_text().split()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--)(.*)", text, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)", text, re.MULTILINE)[1])
    assert entry == ["python", "-m", "experiments.train"]
    assert re.search(r"^USER (\d+)$", text, re.MULTILINE)[1] != "0"


def test_the_extras_that_are_installed_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (JOBS / "Dockerfile").read_text() + (JOBS / "tpu_vm.sh").read_text()
    installed = set(re.search(r"^ +cpu\) extras=(\w+)", text, re.MULTILINE)[1].split(","))
    installed |= set(re.search(r"^ +([a-z |]+)\) extras=\"", text, re.MULTILINE)[1].split(" | "))
    installed |= set(re.search(r"\.\[([a-z,]+)\]", text)[1].split(","))
    assert installed == {"gcs", "cuda", "tpu"}
    assert installed <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_programs_that_bash_understands(name):
    assert os.access(JOBS / name, os.X_OK)
    subprocess.run(["bash", "-n", JOBS / name], check=True)


def test_scripts_pass_shellcheck():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    subprocess.run(["shellcheck", *(JOBS / name for name in SCRIPTS)], check=True)


def program(folder, name, text):
    """Makes a program that replaces another of that name."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/usr/bin/env bash\n" + text)
    path.chmod(0o755)
    return path


def environment(folder, **variables):
    """Returns a script's environment: our programs first in the path, notes in `HERE`.

    It has none of the outer variables that the scripts read.
    """
    own = re.compile(
        r"SLURM|JAX|PYTHON|PROCESSES|KILLED|RETRY|TPU|ZONE|TYPE|VERSION|SPOT|SETUP|KEEP"
    )
    outside = {key: value for key, value in os.environ.items() if not own.match(key)}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**outside, "PATH": path, "HERE": str(folder), **variables}


def run_script(name, arguments, folder, **variables):
    return subprocess.run(
        ["bash", JOBS / name, *arguments],
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=60,
    )


def notes(folder, name):
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened for ten seconds")


# Slurm.

# As the real one: a task for each code, and the highest of their codes at the end.
SRUN = """
printf "%s\\n" "$@" >"$HERE/srun"
while [[ $1 == --* ]]; do shift; done
highest=0
for CODE in $CODES; do
    export CODE
    ended=0
    "$@" || ended=$?
    ((ended <= highest)) || highest=$ended
done
exit "$highest"
"""


@pytest.fixture
def slurm(tmp_path):
    """Takes the codes of the processes."""
    program(tmp_path, "srun", SRUN)
    program(tmp_path, "scontrol", 'echo "$@" >>"$HERE/scontrol"\n')
    python = program(tmp_path, "fakepython", 'printf "%s\\n" "$@" >"$HERE/task"; exit "$CODE"\n')

    def submit(codes, *arguments, **variables):
        given = {"SLURM_JOB_ID": "17", "CODES": codes, "PYTHON": str(python), **variables}
        result = run_script("slurm.sh", [CONFIG, *arguments], tmp_path, **given)
        return result, notes(tmp_path, "task"), notes(tmp_path, "scontrol")

    return submit


@pytest.mark.parametrize(
    ("codes", "restarts", "result"),
    [
        ("0 0", 0, 0),
        ("1 1", 0, 1),
        ("75 1", 0, 1),  # the 75 only says that the other one is gone
        ("75 75", 0, "requeue"),
        ("75 0", 40, "requeue"),
        ("143 75", 40, "requeue"),
        ("75 137", 2, "requeue"),
        ("75 137", 3, 137),
    ],
)
def test_slurm_requeues_on_75_and_a_few_times_when_killed(slurm, codes, restarts, result):
    ended, _, requests = slurm(codes, BUCKET, SLURM_RESTART_COUNT=str(restarts))
    assert requests == (["requeue 17"] if result == "requeue" else [])
    assert ended.returncode == (0 if result == "requeue" else result), ended.stderr


def test_slurm_hands_the_arguments_on(slurm, tmp_path):
    _, command, _ = slurm("0", BUCKET, SLURM_CPUS_PER_TASK="8")
    assert command == ["-m", "experiments.train", "--distributed=auto", CONFIG, BUCKET]
    assert notes(tmp_path, "srun")[:2] == ["--kill-on-bad-exit=0", "--cpus-per-task=8"]


def test_a_task_of_an_array_is_one_variant_of_the_sweep(slurm):
    array = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "4"}
    _, command, requests = slurm("75", "--sweep=s.py", **array)
    assert command[-2:] == ["--sweep=s.py", "--sweep_index=4"]
    assert requests == ["requeue 17_4"]  # 17 would be all tasks


def test_an_array_without_a_sweep_is_refused(slurm):
    result, command, _ = slurm("0", SLURM_ARRAY_JOB_ID="17", SLURM_ARRAY_TASK_ID="4")
    assert result.returncode == 1
    assert "--sweep=FILE.py" in result.stderr
    assert command == []


def test_slurm_signals_the_processes_and_gives_each_a_gpu():
    options = dict(
        re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", (JOBS / "slurm.sh").read_text(), re.MULTILINE)
    )
    assert options["signal"] == "TERM@120"  # "B:" would go to the script alone
    assert "requeue" in options
    assert options["gres"] == f"gpu:{options['ntasks-per-node']}"


# Processes of this machine.


@pytest.fixture
def local(tmp_path):
    """Takes per process the codes of its successive starts, or "kill" and "wait"."""
    fake = f"""
if [[ $1 == -c ]]; then exec {sys.executable} "$@"; fi
index=${{!#}}; index=${{index##*,}}
echo "$JAX_PLATFORMS $*" >>"$HERE/started.$index"
code=$(sed -n "$(wc -l <"$HERE/started.$index")p" "$HERE/codes.$index")
case $code in
    kill) kill -KILL $$ ;;
    wait) trap 'exit 75' TERM; echo $$ >"$HERE/waits.$index"; while true; do sleep 0.02; done ;;
    *) exit "$code" ;;
esac
"""
    python = program(tmp_path, "fakepython", fake)

    def prepare(*codes):
        for index, each in enumerate(codes):
            (tmp_path / f"codes.{index}").write_text("\n".join(map(str, each)) + "\n")
        return {"PROCESSES": str(len(codes)), "PYTHON": str(python)}

    return prepare


def starts(folder, count):
    return [len(notes(folder, f"started.{index}")) for index in range(count)]


def test_local_starts_all_again_while_they_say_75(local, tmp_path):
    variables = local((75, 75, 0), (75, 75, 0), (75, 75, 0))
    result = run_script("local.sh", [CONFIG, BUCKET], tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    assert starts(tmp_path, 3) == [3, 3, 3]
    for line in zip(*(notes(tmp_path, f"started.{index}") for index in range(3)), strict=True):
        ports = set()
        for index, command in enumerate(line):
            given = f"cpu -m experiments.train {CONFIG} {BUCKET} --distributed=127.0.0.1:"
            assert command.startswith(given)
            port, count, own = command.removeprefix(given).split(",")
            assert (count, own) == ("3", str(index))
            ports.add(port)
        assert len(ports) == 1


@pytest.mark.parametrize(
    ("codes", "result", "started"),
    [
        (((0,), (0,)), 0, [1, 1]),
        (((1,), (75,)), 1, [1, 1]),  # the 75 only says that the other one is gone
        (((75, 0), (0, 0)), 0, [2, 2]),
        (((75, 0), ("kill", 0)), 0, [2, 2]),
        (((143, 143, 0), (0, 75, 0)), 0, [3, 3]),
        ((("kill", "kill"), ("kill", "kill")), 137, [2, 2]),
    ],
)
def test_local_ends_as_its_processes_do(local, tmp_path, codes, result, started):
    variables = local(*codes) | {"KILLED_RESTARTS": "1"}
    ended = run_script("local.sh", [CONFIG], tmp_path, **variables)
    assert ended.returncode == result, ended.stderr
    assert starts(tmp_path, 2) == started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_a_signal_on_and_does_not_start_again(local, tmp_path, number):
    env = environment(tmp_path, **local(("wait",), ("wait",)))
    with subprocess.Popen(["bash", JOBS / "local.sh", CONFIG], env=env) as script:
        wait_until(lambda: all((tmp_path / f"waits.{index}").exists() for index in range(2)))
        script.send_signal(number)
        assert script.wait(timeout=20) == 75
    assert starts(tmp_path, 2) == [1, 1]


def test_local_starts_again_when_one_process_is_signaled(local, tmp_path):
    env = environment(tmp_path, **local(("wait", 0)))
    with subprocess.Popen(["bash", JOBS / "local.sh", CONFIG], env=env) as script:
        wait_until(lambda: notes(tmp_path, "waits.0"))
        os.kill(int(notes(tmp_path, "waits.0")[0]), signal.SIGTERM)
        assert script.wait(timeout=20) == 0
    assert starts(tmp_path, 1) == [2]


def test_local_refuses_no_processes(local, tmp_path):
    result = run_script("local.sh", [CONFIG], tmp_path, **local((0,)) | {"PROCESSES": "0"})
    assert result.returncode == 1
    assert "PROCESSES=0" in result.stderr


# Cloud TPU.

GCLOUD = r"""
[[ "$1 $2 $3" == "compute tpus tpu-vm" && " $* " == *" --zone=z "* ]] || exit 2
action=$4
echo "$action" >>"$HERE/actions"
run() { # run HOST: repeated once, as the real one repeats a command whose connection broke
    local code
    for attempt in 1 2; do
        code=255
        if [[ $(cat "$HERE/state") == READY ]]; then
            code=0
            (cd "$HERE/host$1" && HOME=$PWD bash -c "$command") || code=$?
        fi
        ((code == 255)) || break
    done
    return "$code"
}
case $action in
    create)
        echo "$@" >>"$HERE/created"
        if [[ -f $HERE/scarce ]]; then rm "$HERE/scarce"; exit 1; fi
        echo READY >"$HERE/state"
        ;;
    delete) rm "$HERE/state" ;;
    describe) cat "$HERE/state" ;;
    scp) for host in 0 1; do cp "$5" "$HERE/host$host/${6#*:}"; done ;;
    ssh)
        for argument; do
            case $argument in
                --command=*) command=${argument#--command=} ;;
                --worker=*) hosts=${argument#--worker=} ;;
            esac
        done
        [[ $hosts != all ]] || hosts="0 1"
        for host in $hosts; do run "$host" & running="$running $!"; done
        result=0 # the first that is not 0
        for each in $running; do
            code=0
            wait "$each" || code=$?
            ((result)) || result=$code
        done
        exit "$result"
        ;;
esac
"""
# The host's own Python makes the environment, whose Python is the training.
UV = r"""
echo "$@" >>../uv
[[ $1 == venv ]] || exit 0
mkdir -p .venv/bin
cp "$HERE/bin/training" .venv/bin/python
"""
TRAINING = r"""
(IFS=$'\t'; echo "$*" >>../trained)
words=($(sed -n "$(wc -l <../trained)p" "$HERE/words"))
word=${words[0]}
[[ $PWD == */host0/* ]] || word=${words[-1]}
until [[ -f train.pid ]]; do sleep 0.01; done
wait_for_signal() {
    trap 'touch "$HERE/signaled"' TERM
    touch "../waits"
    until [[ -e $HERE/signaled ]]; do sleep 0.02; done
}
case $word in
    preempted) echo PREEMPTED >"$HERE/state"; exit 255 ;;
    wait) wait_for_signal; exit 75 ;;
    wait_preempted) wait_for_signal; echo PREEMPTED >"$HERE/state"; exit 255 ;;
    *) exit "$word" ;;
esac
"""


@pytest.fixture
def cloud(tmp_path):
    """Takes the results of successive trainings on two hosts: one word for both, or one each."""
    program(tmp_path, "gcloud", GCLOUD)
    program(tmp_path, "training", TRAINING)
    program(tmp_path, "python3", "exit 0\n")
    archive = (
        'for a; do case $a in --output=*) tar -czf "${a#*=}" -C "$HERE/bin" uv ;; esac; done\n'
    )
    program(tmp_path, "git", archive)
    uv = program(tmp_path, "uv", UV)
    for host in HOSTS:
        (tmp_path / host / ".local" / "bin").mkdir(parents=True)
        shutil.copy(uv, tmp_path / host / ".local" / "bin")

    def prepare(*words):
        (tmp_path / "words").write_text("\n".join(map(str, words)) + "\n")
        return {"TPU": "t", "ZONE": "z", "RETRY_SECONDS": "0"}

    return prepare


def actions(folder):
    return [action for action in notes(folder, "actions") if action != "describe"]


INSTALL, HOSTS = ["scp", "ssh"], ("host0", "host1")
AGAIN = ["ssh", "ssh"]  # a training that ends with 75, and the question whether all hosts say so


def test_tpu_is_made_trained_on_again_after_75_and_deleted(cloud, tmp_path):
    hard = '--config.metadata.name=it\'s $HOME; "a  b" \\ *'
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET, hard], tmp_path, **cloud(75, 143, 0))
    assert result.returncode == 0, result.stderr
    assert actions(tmp_path) == ["create", *INSTALL, *AGAIN, *AGAIN, "ssh", "delete"]
    given = ["-m", "experiments.train", "--distributed=auto", CONFIG, BUCKET, hard]
    for host in HOSTS:
        assert [line.split("\t") for line in notes(tmp_path / host, "trained")] == [given] * 3
    assert notes(tmp_path / "host0", "uv")[1].endswith("--constraint=constraints.txt .[tpu,gcs]")


@pytest.mark.parametrize("codes", ["1", "1 75", "75 1"])
def test_tpu_stops_at_an_error_and_says_so(cloud, tmp_path, codes):
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **cloud("75", codes, "0"))
    assert result.returncode == 1
    assert "failed with code 1" in result.stderr
    assert len(notes(tmp_path / "host0", "trained")) == 2
    assert actions(tmp_path)[-1] == "delete"


def test_tpu_that_was_taken_away_is_made_again(cloud, tmp_path):
    variables = cloud("preempted", 0) | {"SPOT": "1", "KILLED_RESTARTS": "0"}
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    once = ["create", *INSTALL, "ssh", "delete"]
    assert actions(tmp_path) == once * 2
    assert all(line.endswith("--spot --zone=z --quiet") for line in notes(tmp_path, "created"))


def test_tpu_waits_for_another_once_it_had_one(cloud, tmp_path):
    variables = cloud("preempted", 0) | {"SETUP": 'touch "$HERE/scarce"'}
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    assert actions(tmp_path).count("create") == 3


def test_tpu_that_cannot_be_made_is_an_error(cloud, tmp_path):
    (tmp_path / "scarce").touch()
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **cloud(0))
    assert result.returncode == 1
    assert "could not be made" in result.stderr
    assert actions(tmp_path) == ["create"]


def test_tpu_starts_again_a_few_times_when_a_process_is_killed(cloud, tmp_path):
    variables = cloud(137, 75, 137, 137) | {"KILLED_RESTARTS": "1"}
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **variables)
    assert result.returncode == 137
    assert len(notes(tmp_path / "host0", "trained")) == 4


def test_tpu_host_that_lost_contact_does_not_start_again_alone(cloud, tmp_path):
    """The repeated command returns 75, after which all hosts get a new one."""
    result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **cloud(255, 0))
    assert result.returncode == 0, result.stderr
    for host in HOSTS:
        assert len(notes(tmp_path / host, "trained")) == 2
    assert actions(tmp_path) == ["create", *INSTALL, *AGAIN, "ssh", "delete"]


def test_tpu_is_kept_when_asked_and_used_again(cloud, tmp_path):
    for _ in range(2):
        result = run_script("tpu_vm.sh", [CONFIG, BUCKET], tmp_path, **cloud(0, 0) | {"KEEP": "1"})
        assert result.returncode == 0, result.stderr
    assert actions(tmp_path) == ["create", *INSTALL, "ssh", *INSTALL, "ssh"]


@pytest.mark.parametrize(
    ("number", "training"),
    [(signal.SIGTERM, "wait"), (signal.SIGINT, "wait"), (signal.SIGINT, "wait_preempted")],
)
def test_tpu_saves_before_it_is_deleted(cloud, tmp_path, number, training):
    env = environment(tmp_path, **cloud(training))
    with subprocess.Popen(["bash", JOBS / "tpu_vm.sh", CONFIG, BUCKET], env=env) as script:
        wait_until(lambda: all((tmp_path / host / "waits").exists() for host in HOSTS))
        script.send_signal(number)
        assert script.wait(timeout=20) == 75
    assert len(notes(tmp_path / "host0", "trained")) == 1
    assert actions(tmp_path).count("create") == 1
    assert actions(tmp_path)[-1] == "delete"


@pytest.mark.parametrize(
    ("arguments", "missing"), [([CONFIG, "--workdir=runs/x"], "gs://"), ([BUCKET], "--config=")]
)
def test_tpu_asks_for_what_it_needs_before_it_costs(cloud, tmp_path, arguments, missing):
    result = run_script("tpu_vm.sh", arguments, tmp_path, **cloud(0))
    assert result.returncode == 1
    assert missing in result.stderr
    assert actions(tmp_path) == []
