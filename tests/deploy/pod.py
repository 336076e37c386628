"""Runs the containers of manifests as plain processes, as a kubelet would start them: environment and arguments expanded,
ConfigMaps and Secrets as files. Every pod has an address of its own in 127.0.0.0/8 in the place of 0.0.0.0, so that the
fixed ports of the manifests do not clash, and names are answered by a small DNS server."""

import os
import pathlib
import re
import socket
import struct
import subprocess
import threading


class DnsServer:
    """Answers A queries from `names` (lower case, absolute without the last dot), which may change at any time."""

    def __init__(self):
        self.names = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.authority = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(4096)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            question = query[12:at + 5]
            address = self.names.get(".".join(labels).lower())
            is_a = struct.unpack(">H", question[-4:-2])[0] == 1
            answers = b""
            if address and is_a:
                answers = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
            flags = 0x8580 | (0 if address else 3)  # authoritative; NXDOMAIN for what is not known
            self.socket.sendto(query[:2] + struct.pack(">HHHHH", flags, 1, 1 if answers else 0, 0, 0) + question +
                               answers, sender)


def expand(text, environment):
    """$(NAME) as Kubernetes expands it in arguments: $$ is $, and an unknown name stays."""
    return re.sub(r"\$(\$|\(([A-Za-z_]\w*)\))",
                  lambda m: "$" if m[1] == "$" else environment.get(m[2], m[0]), text)


class Cluster:
    """The pods of one build of manifests. Stops all processes at its end."""

    def __init__(self, documents, programs, folder):
        self.documents, self.programs, self.folder = documents, pathlib.Path(programs), pathlib.Path(folder)
        self.dns = DnsServer()
        self.secrets = {}  # name -> {file: bytes}
        self.claims = {}  # name -> folder
        self.processes = []
        self.network = "127.%d.%d." % (1 + os.getpid() // 250 % 250, 1 + os.getpid() % 250)
        self.pods = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def find(self, kind, name):
        found = [d for d in self.documents if d["kind"] == kind and d["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} documents {kind}/{name}"
        return found[0]

    def environment(self, container, pod):
        """`pod`: labels and namespace, and under "injected" what a controller adds."""
        values = {}
        for entry in container.get("env", []) + pod.get("injected", []):
            if "value" in entry:
                values[entry["name"]] = expand(entry["value"], values)
            elif "configMapKeyRef" in entry["valueFrom"]:
                reference = entry["valueFrom"]["configMapKeyRef"]
                values[entry["name"]] = self.find("ConfigMap", reference["name"])["data"][reference["key"]]
            else:
                path = entry["valueFrom"]["fieldRef"]["fieldPath"]
                label = re.fullmatch(r"metadata\.labels\['(.+)'\]", path)
                values[entry["name"]] = pod["labels"][label[1]] if label else {"metadata.namespace": pod["namespace"]}[path]
        return values

    def mount(self, container, spec, root, claim_templates):
        """Makes the volumes; where each of the container's paths lies."""
        volumes = {v["name"]: v for v in spec.get("volumes", [])}
        paths = {}
        for mount in container["volumeMounts"]:
            if mount["name"] in claim_templates:
                source = self.claims.setdefault(claim_templates[mount["name"]], root / mount["name"])
            else:
                volume = volumes[mount["name"]]
                source = root / mount["name"]
                if "configMap" in volume:
                    files = self.find("ConfigMap", volume["configMap"]["name"])["data"]
                    files = {name: text.encode() for name, text in files.items()}
                elif "secret" in volume:
                    files = self.secrets[volume["secret"]["secretName"]]
                else:
                    files = {}
                    source = self.claims[volume["persistentVolumeClaim"]["claimName"]]
                source.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    (source / name).write_bytes(content)
            source = source / mount.get("subPath", "")
            source.mkdir(parents=True, exist_ok=True)
            paths[mount["mountPath"]] = source
        return paths

    def start(self, spec, pod, name, claim_templates={}, more=()):
        """Starts a pod's container; `name` is its host name, in the domain of the headless Service cddp-server.
        `more`: arguments after the manifest's."""
        self.pods += 1
        address = self.network + str(self.pods)
        root = self.folder / f"pod-{self.pods}"
        root.mkdir()
        container, = spec["containers"]
        paths = self.mount(container, spec, root, claim_templates)

        def local(text):
            for path in sorted(paths, key=len, reverse=True):
                text = re.sub(rf"(?<![\w/]){re.escape(path)}(?![\w-])", str(paths[path]), text)
            return text.replace("0.0.0.0:", address + ":").replace("dns:///", f"dns://{self.dns.authority}/")

        for path in paths.values():
            for file in path.glob("*.flags"):
                file.write_text(local(file.read_text()))
        environment = self.environment(container, pod)
        command = [local(expand(word, environment)) for word in container["command"] + container["args"]] + list(more)
        assert "$(" not in " ".join(command), command
        command[0] = str(self.programs / command[0])
        log = root / "log"
        with open(log, "w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/",
                                       env={"PATH": os.environ["PATH"], **environment})
        process.log, process.address, process.paths, process.name = log, address, paths, name
        self.processes.append(process)
        self.dns.names[f"{name}.cddp-server.{pod['namespace']}.svc"] = address
        return process
