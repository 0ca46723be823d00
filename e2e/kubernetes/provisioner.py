#!/usr/bin/env python3
"""Makes volumes of the nodes' own disks for claims of the class `local`, grows them, and removes
those that are not needed any more: provisioner.py KUBECONFIG DIRECTORY

A claim's volume is a directory of the node on which the pod will run, DIRECTORY/NODE/volumes/NAME.
Volumes are of the kind `local`, whose owners kubelets set as fsGroup says. They hold what the disk
holds, so one grows by saying so, as external-resizer does for those of CSI drivers.
"""

import json
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROVISIONER = "nodes.dunlin.dev/local"
NODE_OF_CLAIM = "volume.kubernetes.io/selected-node"
MADE_BY = "pv.kubernetes.io/provisioned-by"
INTERVAL_SECONDS = 0.5


class Api:
    def __init__(self, kubeconfig):
        # Of the form that control_plane.py writes, which needs no parser.
        text = Path(kubeconfig).read_text()
        self.server, authority, self.token = (
            re.search(key + r': "([^"]+)"', text)[1]
            for key in ("server", "certificate-authority", "token"))
        self.context = ssl.create_default_context(cafile=authority)

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.server + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + self.token, "Content-Type":
                     "application/merge-patch+json" if method == "PATCH" else "application/json"})
        with urllib.request.urlopen(request, context=self.context, timeout=10) as answer:
            return json.load(answer)


def volume_for(claim, name, path, node):
    spec = claim["spec"]
    only_there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {MADE_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "volumeMode": "Filesystem",
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [only_there]}]}},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                         **{key: claim["metadata"][key] for key in ("namespace", "name", "uid")}}}}


def make_missing(api, root, classes):
    for claim in api.call("GET", "/api/v1/persistentvolumeclaims")["items"]:
        node = claim["metadata"].get("annotations", {}).get(NODE_OF_CLAIM)
        if (claim["status"]["phase"] != "Pending" or node is None
                or claim["spec"].get("storageClassName") not in classes):
            continue
        name = "pvc-" + claim["metadata"]["uid"]
        path = root / node / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        try:
            api.call("POST", "/api/v1/persistentvolumes", volume_for(claim, name, path, node))
        except urllib.error.HTTPError as refusal:
            if refusal.code != 409:  # it is there, and about to be bound
                raise
            continue
        print("made %s for %s" % (path, claim["metadata"]["name"]), flush=True)


def grow(api, classes):
    for claim in api.call("GET", "/api/v1/persistentvolumeclaims")["items"]:
        wanted = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
        if (claim["status"]["phase"] != "Bound" or claim["status"].get("capacity") == wanted
                or claim["spec"].get("storageClassName") not in classes):
            continue
        api.call("PATCH", "/api/v1/persistentvolumes/" + claim["spec"]["volumeName"],
                 {"spec": {"capacity": wanted}})
        api.call("PATCH", "/api/v1/namespaces/%(namespace)s/persistentvolumeclaims/%(name)s/status"
                 % claim["metadata"], {"status": {"capacity": wanted, "conditions": None}})
        print("grew the volume of %s" % claim["metadata"]["name"], flush=True)


def remove_released(api, root):
    for volume in api.call("GET", "/api/v1/persistentvolumes")["items"]:
        path = Path(volume["spec"].get("local", {}).get("path", "/"))
        if (volume["metadata"].get("annotations", {}).get(MADE_BY) != PROVISIONER
                or volume["status"].get("phase") != "Released" or root not in path.parents):
            continue
        shutil.rmtree(path, ignore_errors=True)
        api.call("DELETE", "/api/v1/persistentvolumes/" + volume["metadata"]["name"])
        print("removed %s" % path, flush=True)


def main():
    api, root = Api(sys.argv[1]), Path(sys.argv[2])
    while True:
        try:
            classes = {one["metadata"]["name"]
                       for one in api.call("GET", "/apis/storage.k8s.io/v1/storageclasses")["items"]
                       if one["provisioner"] == PROVISIONER}
            make_missing(api, root, classes)
            grow(api, classes)
            remove_released(api, root)
        except OSError as error:  # the API server is away; so are HTTP's refusals
            print("goes on after %s" % error, flush=True)
        time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
