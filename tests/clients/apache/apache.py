"""Apache RocketMQ itself, to see that the programs are right when a scenario fails with Skua, and to
compare with: one name server, and one process that is gRPC proxy and broker (its LOCAL mode). Not
part of any test; needs a GiB of memory and one download by Maven."""
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
from cluster import spawn, wait_until  # noqa: E402

START_S = 60
JAVA = ["java", "-XX:MaxDirectMemorySize=512m",
        "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
        "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"]


class Apache:
    """with Apache(jars, folder) as apache: … apache.access"""

    def __init__(self, jars, folder, heap="1500m", collector="Serial", flush="ASYNC_FLUSH",
                 segment_bytes=64 << 20, prefix=()):
        self.jars, self.folder, self.prefix = Path(jars), Path(folder), list(prefix)
        self.heap, self.collector = heap, collector
        self.flush, self.segment_bytes = flush, segment_bytes
        self.processes, self._failed = [], []
        names, self.broker, self.remoting, self.grpc = free_ports(4)
        self.names, self.access = f"127.0.0.1:{names}", f"127.0.0.1:{self.grpc}"

    def __enter__(self):
        self._install()
        self._configure()
        self._start("namesrv", "boot success", "256m", "namesrv.NamesrvStartup",
                    "-c", self.folder / "namesrv.conf")
        self._start("proxy", "startup successfully", self.heap, "proxy.ProxyStartup", "-pm", "local",
                    "-n", self.names, "-pc", self.folder / "proxy.json",
                    "-bc", self.folder / "broker.conf")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def administer(self, topic, queues, groups):
        """Creates the topic and the groups; every command is a JVM of its own."""
        commands = [("updateTopic", "-t", topic, "-r", queues, "-w", queues,
                     "-a", "+message.type=NORMAL")] + [("updateSubGroup", "-g", g) for g in groups]
        running = [threading.Thread(target=self._administer, args=command) for command in commands]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        if self._failed:
            raise RuntimeError(f"mqadmin failed: {self._failed}")

    def _administer(self, *command):
        """Ends well and does nothing while the broker is not registered: again until it says so."""
        for _ in range(START_S):
            done = subprocess.run(list(map(str, self._java(
                "64m", "tools.command.MQAdminStartup", *command, "-n", self.names, "-c",
                "DefaultCluster"))), capture_output=True, text=True, env=self._environment())
            if done.returncode == 0 and "success" in done.stdout:
                return
            time.sleep(1)
        self._failed.append(done.stdout + done.stderr)

    def _install(self):
        if not self.jars.exists():
            subprocess.run(["mvn", "-q", "-B", "-f", HERE / "pom.xml", "dependency:copy-dependencies",
                            f"-DoutputDirectory={self.jars}"], check=True, stdout=sys.stderr)

    def _configure(self):
        (self.folder / "namesrv.conf").write_text(f"listenPort={self.names.split(':')[1]}\n")
        (self.folder / "broker.conf").write_text("\n".join([
            "brokerClusterName=DefaultCluster", "brokerName=broker-a", "brokerId=0",
            "brokerIP1=127.0.0.1", f"listenPort={self.broker}", f"namesrvAddr={self.names}",
            f"storePathRootDir={self.folder / 'store'}", f"flushDiskType={self.flush}",
            f"mappedFileSizeCommitLog={self.segment_bytes}"]))
        (self.folder / "proxy.json").write_text(json.dumps({
            "rocketMQClusterName": "DefaultCluster", "namesrvAddr": self.names,
            "grpcServerPort": self.grpc, "remotingListenPort": self.remoting}))

    def _environment(self):
        return {"PATH": "/usr/bin:/bin", "ROCKETMQ_HOME": str(self.folder), "HOME": str(self.folder)}

    def _java(self, heap, main, *words):
        return JAVA + [f"-XX:+Use{self.collector}GC", f"-Xmx{heap}", f"-Duser.home={self.folder}", "-cp", f"{self.jars}/*",
                       f"org.apache.rocketmq.{main}", *map(str, words)]

    def _start(self, name, sign, heap, main, *words):
        path = self.folder / f"{name}.out"
        with open(path, "wb") as log:
            self.processes.append(spawn(self.prefix + self._java(heap, main, *words), stdout=log,
                                        stderr=subprocess.STDOUT, env=self._environment()))
        wait_until(f"{name} starts", lambda: sign in path.read_text(), START_S, interval_s=0.2)


def free_ports(count):
    """These servers cannot choose ports themselves."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
