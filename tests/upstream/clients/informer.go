package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// inform runs a shared informer whose handlers write each change down.
func inform(ctx context.Context, config *rest.Config, namespace string, record *record) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	source := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "configmaps", namespace, fields.Everything())
	informer := cache.NewSharedInformer(&recorded{source, record}, &corev1.ConfigMap{}, 0)
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { record.object("handled", object.(*corev1.ConfigMap)) },
		UpdateFunc: func(before, object any) {
			// A list that is made again calls it for everything, changed or not.
			if after := object.(*corev1.ConfigMap); after.ResourceVersion != before.(*corev1.ConfigMap).ResourceVersion {
				record.object("handled", after)
			}
		},
		DeleteFunc: func(object any) {
			key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
			if err != nil {
				panic(err)
			}
			_, name, err := cache.SplitMetaNamespaceKey(key)
			if err != nil {
				panic(err)
			}
			record.write("handled", name, "-")
		},
	})
	if err != nil {
		return err
	}
	informer.RunWithContext(ctx)
	return nil
}
