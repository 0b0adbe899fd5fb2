"""Runs Calrissian, ends it where it would wait for ever, and says in the last lines why a workflow failed.

    python3 supervise.py calrissian --outdir=... workflow.cwl inputs.yml

Calrissian 0.18.1 does not see that a step's pod is taken away (a drained or lost node, a reclaimed spot node, kubectl
delete): it waits without end, or takes the kill for an error of the step. So the pods of its steps are watched here,
and a run that lost one, or that has no pod and says nothing for STALL seconds, ends with exit code 75: the job goes on
in another pod, and takes the results of finished steps from --cachedir. After any other failure another go would fail
again, and the job's backoffLimit becomes 0. (../failures says the same to Kubernetes 1.26 and later.)
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from kubernetes import client, config, watch

#: Exit code of what may succeed at another go: EX_TEMPFAIL.
AGAIN = 75

#: Seconds without a step's pod and without a line from Calrissian after which it counts as stuck: it moves large
#: results between steps. Seconds that it gets to end when asked: a drained pod has 30 for that and all the rest.
STALL, GRACE = float(os.environ.get("STALL_SECONDS", "600")), 10.0

#: Labels of the pods of steps, as pod-labels.yml gives them.
STEPS = "app.kubernetes.io/component=step"

TERMINATION_LOG = "/dev/termination-log"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
COMPLETED = re.compile(r"completed (permanentFail|temporaryFail)")


class Steps(threading.Thread):
    """What the pods of steps come to, as Kubernetes tells of them."""

    def __init__(self, core: client.CoreV1Api, namespace: str) -> None:
        super().__init__(daemon=True)
        self.core, self.namespace = core, namespace
        self.errors: dict[str, str] = {}  # by pod, in the order of their end
        self.there: set[str] = set()
        self.lost, self.lost_at = "", float("inf")

    def names(self) -> list[str]:
        """Pods that are there now."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=STEPS).items
        return [pod.metadata.name for pod in found]

    def remove(self) -> None:
        """Remove all pods, and wait until they are gone: two must not write to one folder."""
        until = time.monotonic() + 90
        while (names := self.names()) and time.monotonic() < until:
            for name in names:
                try:
                    self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=1)
                except client.ApiException as error:
                    if error.status != 404:
                        raise
            time.sleep(1)

    def run(self) -> None:
        """Watch without end; a watch that breaks off is taken up again with a fresh list."""
        while True:
            try:
                self.there &= set(self.names())
                stream = watch.Watch().stream(
                    self.core.list_namespaced_pod, self.namespace, label_selector=STEPS, timeout_seconds=60
                )
                for event in stream:
                    self.take(event["type"], event["object"])
            except Exception as error:  # a server that is away for a while
                print(f"supervise: pods cannot be watched: {error!r}", file=sys.stderr, flush=True)
                time.sleep(5)

    def take(self, kind: str, pod: client.V1Pod) -> None:
        """Learn from one event; whatever deletes a pod before its command has ended, it is not Calrissian."""
        name, status = pod.metadata.name, pod.status
        self.there.discard(name) if kind == "DELETED" else self.there.add(name)
        ended = [one.state.terminated for one in status.container_statuses or () if one.state.terminated]
        if not ended and (pod.metadata.deletion_timestamp or kind == "DELETED"):
            self.lose(f"pod {name} was deleted before its command had ended (a drain, a lost node?)")
        elif status.phase == "Failed" and status.reason:
            self.lose(f"pod {name}: {status.reason}: {status.message}")
        elif ended and ended[0].exit_code and name not in self.errors:
            words = " ".join((ended[0].message or f"{ended[0].reason}, no words").split())
            self.errors[name] = f"pod {name}: exit code {ended[0].exit_code}: {words}"

    def lose(self, why: str) -> None:
        """Keep the first loss."""
        if not self.lost:
            self.lost, self.lost_at = why, time.monotonic()


class Run:
    """One go of Calrissian."""

    def __init__(self, command: list[str]) -> None:
        self.last, self.stopped_at = time.monotonic(), float("inf")
        self.words, self.status, self.failed_at = "", "", float("inf")
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # Both to their end, which its own children write: what is said here comes last.
        results = (shutil.copyfileobj, (self.child.stdout, sys.stdout.buffer))
        self.readers = [threading.Thread(target=f, args=a, daemon=True) for f, a in (results, (self.pass_on, ()))]
        for reader in self.readers:
            reader.start()

    def pass_on(self) -> None:
        """Hand its lines on: that it says something is progress, and what it says is how it ends."""
        for line in self.child.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
            self.last = time.monotonic()
            self.words = COLOUR.sub("", line.decode(errors="replace")).strip() or self.words
            if found := COMPLETED.search(self.words):
                self.status, self.failed_at = found[1], min(self.failed_at, self.last)

    def stop(self, *_: object) -> None:
        """Ask it to end, as Kubernetes asks this process."""
        self.stopped_at = time.monotonic()
        self.child.terminate()

    def wait(self, steps: Steps) -> tuple[int, str]:
        """Exit code and, if this had to end it, why."""
        reason = ""
        while True:
            try:
                code = self.child.wait(1)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            else:
                return (AGAIN if reason else code), reason
            if now - self.stopped_at > GRACE:
                self.child.kill()  # its threads still wait for what will not come
            elif self.stopped_at > now and (reason := self.trouble(steps, now)):
                self.stop()

    def trouble(self, steps: Steps, now: float) -> str:
        """Why it would wait without end, if so."""
        if steps.there:
            self.last = now
        if steps.lost_at < self.failed_at:
            return steps.lost
        return f"no step's pod and no word from Calrissian for {STALL:g} s" if now - self.last > STALL else ""


def tell(lines: list[str]) -> None:
    """Say why, in the log's last lines and where Kubernetes shows it of the pod."""
    print("\n".join(f"supervise: {line}" for line in lines), file=sys.stderr, flush=True)
    with open(TERMINATION_LOG, "w") as file:
        file.write("\n".join(lines)[:4096])


def give_up(namespace: str, core: client.CoreV1Api) -> None:
    """Let the job end with this pod."""
    try:
        labels = core.read_namespaced_pod(os.environ["CALRISSIAN_POD_NAME"], namespace).metadata.labels
        client.BatchV1Api().patch_namespaced_job(labels["job-name"], namespace, {"spec": {"backoffLimit": 0}})
    except (client.ApiException, KeyError) as error:
        print(
            f"supervise: the job will try again in vain: {type(error).__name__}: {error}", file=sys.stderr, flush=True
        )


def main(command: list[str]) -> int:
    """Run a command of Calrissian."""
    config.load_incluster_config()
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as file:
        namespace = file.read()
    core = client.CoreV1Api()
    steps = Steps(core, namespace)
    steps.remove()  # what an earlier go left: one run at a time uses the volume
    steps.start()
    run = Run(command)
    signal.signal(signal.SIGTERM, run.stop)
    code, reason = run.wait(steps)
    for reader in run.readers:
        reader.join(10)
    print(flush=True)  # what ends without a line's end is kept back, and would come last
    if code:
        steps.remove()
    if run.stopped_at < float("inf") and not reason:
        tell(["Kubernetes ended this pod (a drain?): another goes on with the workflow, unless the job was deleted"])
        return 128 + signal.SIGTERM
    if code and steps.lost_at < run.failed_at:  # taken for an error of the step before it could be ended
        code, reason = AGAIN, steps.lost
    if code and run.status == "temporaryFail":
        code = AGAIN
    if code != AGAIN:
        for word in command:
            if word.startswith("--cachedir="):
                shutil.rmtree(word.partition("=")[2], ignore_errors=True)
    if code:
        lines = list(steps.errors.values())[-5:] or [run.words]
        lines += [reason] if reason else []
        last = "another pod goes on with it" if code == AGAIN else "it would fail again, and is not tried again"
        lines.append(f"the workflow failed ({run.status or 'broken off'}, exit code {code}): {last}")
        tell(lines)
        if code != AGAIN:
            give_up(namespace, core)
    else:
        results = [word.partition("=")[2] for word in command if word.startswith("--outdir=")]
        print("supervise: the workflow succeeded: see", *results, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
