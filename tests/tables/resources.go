package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

type discoveredResource struct {
	Name, SingularName, Kind, Group, Version string
	Namespaced                               bool
	Verbs, ShortNames, Categories            []string
	StorageVersionHash                       string
}

// Group versions that a cluster of this release serves without any flag: what is generally available.
var general = regexp.MustCompile(`^v[0-9]+$`)

var priorityLine = regexp.MustCompile(`\{Group: "([^"]*)", Version: "([^"]*)"\}: *\{Group: ([0-9]+), Version: ([0-9]+)\}`)

type priority struct{ group, version int }

func readPriorities(kubernetes string) map[string]priority {
	out := map[string]priority{}
	for _, file := range []string{"pkg/controlplane/apiserver/aggregator.go", "cmd/kube-apiserver/app/aggregator.go"} {
		data, err := os.ReadFile(filepath.Join(kubernetes, file))
		if err != nil {
			fail("read %s: %v", file, err)
		}
		for _, match := range priorityLine.FindAllStringSubmatch(string(data), -1) {
			group, _ := strconv.Atoi(match[3])
			version, _ := strconv.Atoi(match[4])
			out[match[1]+"/"+match[2]] = priority{group, version}
		}
	}
	return out
}

func renderResources(kubernetes string, types *typeSet) string {
	priorities := readPriorities(kubernetes)
	files, _ := filepath.Glob(filepath.Join(kubernetes, "api", "discovery", "api*__v*.json"))
	more, _ := filepath.Glob(filepath.Join(kubernetes, "api", "discovery", "apis__*__*.json"))
	seen := map[string]bool{}
	type served struct {
		gv        string
		priority  priority
		resources []discoveredResource
	}
	var all []served
	for _, file := range append(files, more...) {
		if seen[file] {
			continue
		}
		seen[file] = true
		data, err := os.ReadFile(file)
		if err != nil {
			fail("read %s: %v", file, err)
		}
		var document struct {
			GroupVersion string
			Resources    []discoveredResource
		}
		if err := json.Unmarshal(data, &document); err != nil {
			fail("parse %s: %v", file, err)
		}
		gv := document.GroupVersion
		if !strings.Contains(gv, "/") {
			gv = "/" + gv
		}
		if !general.MatchString(gv[strings.Index(gv, "/")+1:]) {
			continue
		}
		all = append(all, served{gv, priorities[gv], document.Resources})
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		// The aggregator's own group has no priority and stands first.
		if first := b.priority.group == 0; first || a.priority.group == 0 {
			return !first
		}
		if a.priority.group != b.priority.group {
			return a.priority.group > b.priority.group
		}
		groupA, groupB := a.gv[:strings.Index(a.gv, "/")], b.gv[:strings.Index(b.gv, "/")]
		if groupA != groupB {
			return groupA < groupB
		}
		return a.priority.version > b.priority.version
	})
	operations := readOperations(kubernetes)
	var text strings.Builder
	for _, gv := range types.known {
		name := gv.String()
		if gv.Group == "" {
			name = "/" + gv.Version
		}
		fmt.Fprintf(&text, "registered %s\n", name)
	}
	text.WriteString("\n")
	for _, gv := range operations.optionVersions {
		fmt.Fprintf(&text, "options %s\n", gv)
	}
	for _, group := range all {
		fmt.Fprintf(&text, "\nserved %s group-priority=%d version-priority=%d\n", group.gv, group.priority.group, group.priority.version)
		for _, resource := range group.resources {
			writeResource(&text, group.gv, resource, operations.facts(group.gv, resource, types))
		}
	}
	return text.String()
}

func writeResource(text *strings.Builder, gv string, resource discoveredResource, facts string) {
	gvk := gv
	if resource.Version != "" {
		gvk = resource.Group + "/" + resource.Version
	}
	word, scope := "resource", "cluster"
	if strings.Contains(resource.Name, "/") {
		word = "subresource"
	}
	if resource.Namespaced {
		scope = "namespaced"
	}
	fmt.Fprintf(text, "%s %s %s kind=%s/%s", word, resource.Name, scope, gvk, resource.Kind)
	for _, attribute := range []struct {
		name   string
		values []string
	}{{"short", resource.ShortNames}, {"categories", resource.Categories}, {"verbs", resource.Verbs}} {
		if len(attribute.values) > 0 {
			fmt.Fprintf(text, " %s=%s", attribute.name, strings.Join(attribute.values, ","))
		}
	}
	if resource.SingularName != "" {
		fmt.Fprintf(text, " singular=%s", resource.SingularName)
	}
	if resource.StorageVersionHash != "" {
		fmt.Fprintf(text, " hash=%s", resource.StorageVersionHash)
	}
	text.WriteString(facts + "\n")
}
