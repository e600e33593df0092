// Command etcd is upstream's server: its own main package cannot be required as a module, this one can.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
