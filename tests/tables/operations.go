package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// operations is what the published paths say about a resource beyond its verbs.
type operations struct {
	paths map[string]map[string]operation
	// Every group version that knows DeleteOptions and WatchEvent, as "group/version".
	optionVersions []string
}

type operation struct {
	Action     string `json:"x-kubernetes-action"`
	Produces   []string
	Parameters []parameter
	Responses  map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		}
	}
}

type parameter struct {
	Name string
	Ref  string `json:"$ref"`
}

func readOperations(kubernetes string) operations {
	data, err := os.ReadFile(filepath.Join(kubernetes, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		fail("read swagger.json: %v", err)
	}
	var document struct {
		Paths       map[string]map[string]json.RawMessage
		Definitions map[string]struct {
			Kinds []struct{ Group, Version string } `json:"x-kubernetes-group-version-kind"`
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		fail("parse swagger.json: %v", err)
	}
	out := operations{paths: map[string]map[string]operation{}}
	for path, item := range document.Paths {
		methods := map[string]operation{}
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := json.Unmarshal(raw, &shared); err != nil {
				fail("parse parameters of %s: %v", path, err)
			}
		}
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var found operation
			if err := json.Unmarshal(raw, &found); err != nil {
				fail("parse %s %s: %v", method, path, err)
			}
			found.Parameters = append(found.Parameters, shared...)
			methods[strings.ToUpper(method)] = found
		}
		out.paths[path] = methods
	}
	for _, gv := range document.Definitions["io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"].Kinds {
		out.optionVersions = append(out.optionVersions, gv.Group+"/"+gv.Version)
	}
	return out
}

// facts are attributes of a resource's line: what a delete answers with, methods that are passed on to a connection,
// the kind of the query and the media type of a read that is no object.
func (o operations) facts(gv string, resource discoveredResource, types *typeSet) string {
	path := "/apis/" + gv
	if strings.HasPrefix(gv, "/") {
		path = "/api" + gv
	}
	if resource.Namespaced {
		path += "/namespaces/{namespace}"
	}
	plural, sub, isSub := strings.Cut(resource.Name, "/")
	path += "/" + plural + "/{name}"
	if isSub {
		path += "/" + sub
	}
	item, text := o.paths[path], ""
	if deletion, ok := item["DELETE"]; ok && deletion.Action == "delete" && !strings.HasSuffix(deletion.Responses["200"].Schema.Ref, ".Status") {
		text += " delete=object"
	}
	var connect []string
	for _, method := range sortedKeys(item) {
		if item[method].Action == "connect" {
			connect = append(connect, method)
		}
	}
	if len(connect) > 0 {
		text += " connect=" + strings.Join(connect, ",")
		if _, ok := o.paths[path+"/{path}"]; ok {
			text += " subpath"
		}
	}
	if read, ok := item["GET"]; ok && read.Action == "get" && isSub {
		if read.Produces[0] != "application/json" {
			text += " produces=" + read.Produces[0]
		}
		if options := optionsKind(read.Parameters); options != "" {
			text += " options=" + options
		}
	}
	return text
}

// optionsKind is the kind of the core group whose fields a read takes as query parameters.
func optionsKind(parameters []parameter) string {
	var names []string
	for _, p := range parameters {
		name := p.Name
		if name == "" {
			// References are named NAME-HASH; hashes are eight characters, dashes among them.
			name = p.Ref[strings.LastIndex(p.Ref, "/")+1 : len(p.Ref)-9]
		}
		if name != "name" && name != "namespace" && name != "pretty" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	sort.Strings(names)
	t := reflect.TypeFor[corev1.PodLogOptions]()
	var fields []string
	for i := range t.NumField() {
		// A time is a pointer to a struct, which upstream leaves out of the query parameters it documents.
		if f := t.Field(i).Type; f.Kind() == reflect.Pointer && f.Elem().Kind() == reflect.Struct {
			continue
		}
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			fields = append(fields, name)
		}
	}
	sort.Strings(fields)
	if strings.Join(fields, ",") != strings.Join(names, ",") {
		fail("no kind has the parameters %v", names)
	}
	return shape(t)
}
