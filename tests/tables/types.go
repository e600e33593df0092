package main

import (
	"encoding/json"
	"reflect"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1beta1 "k8s.io/apimachinery/pkg/apis/meta/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

const metaPackage = "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types whose JSON is not that of their Go fields. The name is what the tables call them.
var special = map[string]string{
	metaPackage + ".Time":                                  "time",
	metaPackage + ".MicroTime":                             "microtime",
	metaPackage + ".Duration":                              "duration",
	metaPackage + ".FieldsV1":                              "fieldsv1",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":        "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":      "intorstring",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":         "raw",
	apiextensionsPackage + ".JSON":                         "json",
	apiextensionsPackage + ".JSONSchemaPropsOrArray":       "schema-or-array",
	apiextensionsPackage + ".JSONSchemaPropsOrBool":        "schema-or-bool",
	apiextensionsPackage + ".JSONSchemaPropsOrStringArray": "schema-or-strings",
}

const apiextensionsPackage = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	protoMessager = reflect.TypeFor[interface{ MarshalToSizedBuffer([]byte) (int, error) }]()
)

type typeSet struct {
	types map[string]reflect.Type
	kinds map[string][]schema.GroupVersionKind
	known []schema.GroupVersion
}

// collectTypes walks every registered kind and everything its fields name.
func collectTypes() *typeSet {
	scheme := runtime.NewScheme()
	for _, add := range adders {
		if err := add(scheme); err != nil {
			fail("register: %v", err)
		}
	}
	set := &typeSet{types: map[string]reflect.Type{}, kinds: map[string][]schema.GroupVersionKind{}}
	groups := map[schema.GroupVersion]bool{}
	for gvk, t := range scheme.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		set.visit(t)
		// The option and watch types are registered in every group version; the reader of the tables knows that.
		if t.PkgPath() != metaPackage {
			set.kinds[key(t)] = append(set.kinds[key(t)], gvk)
			groups[gvk.GroupVersion()] = true
		}
	}
	for _, example := range []any{
		metav1.Status{}, metav1.APIVersions{}, metav1.APIGroupList{}, metav1.APIGroup{}, metav1.APIResourceList{},
		metav1.WatchEvent{}, metav1.DeleteOptions{}, metav1.ListOptions{}, metav1.GetOptions{}, metav1.CreateOptions{},
		metav1.UpdateOptions{}, metav1.PatchOptions{}, metav1.ApplyOptions{},
	} {
		set.meta(reflect.TypeOf(example), "", "v1")
	}
	for _, example := range []any{metav1.Table{}, metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{}, metav1.TableOptions{}} {
		set.meta(reflect.TypeOf(example), "meta.k8s.io", "v1")
	}
	// Types that only the published documents name.
	set.visit(reflect.TypeFor[metav1.Patch]())
	set.visit(reflect.TypeFor[version.Info]())
	set.meta(reflect.TypeOf(metav1beta1.PartialObjectMetadataList{}), "meta.k8s.io", "v1beta1")
	for gv := range groups {
		set.known = append(set.known, gv)
	}
	sort.Slice(set.known, func(i, j int) bool { return set.known[i].String() < set.known[j].String() })
	return set
}

func (s *typeSet) meta(t reflect.Type, group, version string) {
	s.visit(t)
	s.kinds[key(t)] = append(s.kinds[key(t)], schema.GroupVersionKind{Group: group, Version: version, Kind: t.Name()})
}

func key(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

func (s *typeSet) visit(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		s.visit(t.Elem())
	case reflect.Map:
		s.visit(t.Elem())
	case reflect.Struct:
		name := key(t)
		if _, seen := s.types[name]; seen {
			return
		}
		if kind, isSpecial := special[name]; isSpecial {
			if strings.HasPrefix(kind, "schema-or") {
				s.types[name] = t
			}
			return
		}
		if t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
			fail("%s has its own JSON form, which the tables do not know", name)
		}
		s.types[name] = t
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("json") != "-" {
				s.visit(t.Field(i).Type)
			}
		}
	}
}

func (s *typeSet) packages() []string {
	seen := map[string]bool{}
	for _, t := range s.types {
		seen[t.PkgPath()] = true
	}
	return sortedKeys(seen)
}
