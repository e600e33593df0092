"""Follows the ConfigMaps of a namespace with the official Python client until it is ended, and writes down what it sees.

`xtask/src/clients/record.rs` says what the words of the lines mean.
"""

import sys
import time

import urllib3
from kubernetes import client, config, watch

PAGE = 5000
PAUSE = 0.2


def main(kubeconfig, namespace, path):
    config.load_kube_config(kubeconfig)
    api = client.CoreV1Api()
    with open(path, "w", buffering=1, encoding="utf-8") as record:
        revision = None
        while True:
            try:
                revision = watched(api, namespace, record, revision or listed(api, namespace, record))
            except (client.ApiException, urllib3.exceptions.HTTPError, OSError):
                time.sleep(PAUSE)


def listed(api, namespace, record):
    record.write("list\n")
    token = None
    while True:
        page = api.list_namespaced_config_map(namespace, limit=PAGE, _continue=token)
        for item in page.items:
            record.write(f"item {item.metadata.name} {item.metadata.resource_version}\n")
        token = page.metadata._continue
        if not token:
            record.write("listed\n")
            return page.metadata.resource_version


def watched(api, namespace, record, revision):
    """Follows changes until the connection breaks. Returns where to go on, or nothing when that is no longer there."""
    stream = watch.Watch()
    try:
        for event in stream.stream(api.list_namespaced_config_map, namespace, resource_version=revision):
            # The library makes nothing of a line that was cut off.
            if event is None:
                break
            metadata = event["object"].metadata
            word = "deleted" if event["type"] == "DELETED" else "applied"
            record.write(f"{word} {metadata.name} {metadata.resource_version}\n")
    except client.ApiException as error:
        if error.status == 410:
            record.write("refused 410\n")
            return None
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    time.sleep(PAUSE)
    return stream.resource_version


if __name__ == "__main__":
    main(*sys.argv[1:])
