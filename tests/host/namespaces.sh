#!/bin/bash
# The holder process of one node: started in the node's network namespace and in new mount and host name namespaces, it lays the
# node's own folders over the places where kubelet, containerd and the CNI plugins keep their state, then sleeps. The
# node's programs join its namespaces. Nothing that is mounted here reaches the machine.
# Arguments: NODE FOLDER NAME:PLACE...
set -eu
node=$1 folder=$2
shift 2
mount --make-rslave /
for bind in "$@"; do
  mount --bind "$folder/${bind%%:*}" "${bind#*:}"
done
mount --make-rshared / # mount propagation works between the node's pods
hostname "$node"
touch "$folder/conf/ready"
exec sleep infinity
