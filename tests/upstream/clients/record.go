package main

import (
	"context"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// record is a file of lines, a word with what it is about. `xtask/src/clients/record.rs` says what each word means.
type record struct {
	file *os.File
}

func newRecord(path string) (*record, error) {
	file, err := os.Create(path)
	return &record{file}, err
}

// write adds a line at once: a program that is killed has said everything it knew.
func (r *record) write(words ...any) {
	if _, err := fmt.Fprintln(r.file, words...); err != nil {
		panic(err)
	}
}

func (r *record) object(word string, object runtime.Object) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		panic(err)
	}
	r.write(word, accessor.GetName(), accessor.GetResourceVersion())
}

// recorded passes on what a reflector asks and is answered, and writes the answers down.
type recorded struct {
	cache.ListerWatcherWithContext
	record *record
}

// List and Watch are what informers ask a source to have; they call the two below.
func (r *recorded) List(options metav1.ListOptions) (runtime.Object, error) {
	return r.ListWithContext(context.Background(), options)
}

func (r *recorded) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return r.WatchWithContext(context.Background(), options)
}

func (r *recorded) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	page, err := r.ListerWatcherWithContext.ListWithContext(ctx, options)
	if err != nil {
		return page, err
	}
	if options.Continue == "" {
		r.record.write("list")
	}
	err = meta.EachListItem(page, func(item runtime.Object) error {
		r.record.object("item", item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	list, err := meta.ListAccessor(page)
	if err != nil {
		return nil, err
	}
	if list.GetContinue() == "" {
		r.record.write("listed")
	}
	return page, nil
}

func (r *recorded) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	events, err := r.ListerWatcherWithContext.WatchWithContext(ctx, options)
	if err != nil {
		return nil, err
	}
	initial := options.SendInitialEvents != nil && *options.SendInitialEvents
	if initial {
		r.record.write("list")
	}
	return watch.Filter(events, func(event watch.Event) (watch.Event, bool) {
		switch event.Type {
		case watch.Added, watch.Modified:
			if initial {
				r.record.object("item", event.Object)
			} else {
				r.record.object("applied", event.Object)
			}
		case watch.Deleted:
			r.record.object("deleted", event.Object)
		case watch.Bookmark:
			if accessor, err := meta.Accessor(event.Object); err == nil && initial {
				initial = accessor.GetAnnotations()[metav1.InitialEventsAnnotationKey] != "true"
				if !initial {
					r.record.write("listed")
				}
			}
		case watch.Error:
			r.record.write("refused", fmt.Sprintf("%v", event.Object))
		}
		return event, true
	}), nil
}
