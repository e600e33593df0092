// Command clients follows the ConfigMaps of a namespace with an informer of client-go or a manager of controller-runtime,
// until it is told to end, and writes down what it sees: on the wire, and in the handlers that applications write.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	// Not the global flags: controller-runtime has some there.
	flags := flag.NewFlagSet("clients", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "the server and who asks")
	namespace := flags.String("namespace", "", "whose ConfigMaps are followed")
	path := flags.String("record", "", "where a line is written for everything seen")
	library := flags.String("library", "", "client-go or controller-runtime")
	if err := flags.Parse(os.Args[1:]); err != nil {
		log.Fatal(err)
	}

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	written, err := newRecord(*path)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	follow := map[string]func(context.Context, *rest.Config, string, *record) error{
		"client-go":          inform,
		"controller-runtime": manage,
	}[*library]
	if follow == nil {
		log.Fatalf("no library %q", *library)
	}
	if err := follow(ctx, config, *namespace, written); err != nil {
		log.Fatal(err)
	}
}
