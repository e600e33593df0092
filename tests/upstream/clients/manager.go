package main

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// manage runs a manager with one controller, which writes down what the cache holds each time it is asked to reconcile.
func manage(ctx context.Context, config *rest.Config, namespace string, record *record) error {
	ctrl.SetLogger(logr.Discard())
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{
			DefaultNamespaces: map[string]cache.Config{namespace: {}},
			NewInformer: func(source toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
				source = &recorded{toolscache.ToListerWatcherWithContext(source), record}
				return toolscache.NewSharedIndexInformer(source, object, resync, indexers)
			},
		},
	})
	if err != nil {
		return err
	}
	reader := manager.GetCache()
	err = ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).Complete(reconcile.Func(
		func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
			var object corev1.ConfigMap
			switch err := reader.Get(ctx, request.NamespacedName, &object); {
			case apierrors.IsNotFound(err):
				record.write("reconciled", request.Name, "-")
			case err != nil:
				return reconcile.Result{}, err
			default:
				record.object("reconciled", &object)
			}
			return reconcile.Result{}, nil
		},
	))
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}
