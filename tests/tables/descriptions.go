package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The published descriptions are part of the API: kubectl explain prints them. Nearly all are taken, when Coracle is
// built, from the k8s-openapi crate, which carries them. These are the rest: those of list kinds and watch events,
// of the kinds whose fields are query parameters, of enum values, and a few that the crate has without their end.

// parameterKinds are the kinds whose fields clients send in the query.
var parameterKinds = []any{
	metav1.CreateOptions{}, metav1.ListOptions{}, metav1.PatchOptions{}, metav1.UpdateOptions{},
	corev1.NodeProxyOptions{}, corev1.PodAttachOptions{}, corev1.PodExecOptions{}, corev1.PodLogOptions{},
	corev1.PodPortForwardOptions{}, corev1.PodProxyOptions{}, corev1.ServiceProxyOptions{},
}

func (s *typeSet) renderDescriptions(kubernetes string, published map[string]definition, enums map[string]enum) string {
	var text strings.Builder
	line := func(name, field, description string) {
		if description != "" {
			fmt.Fprintf(&text, "%s %s %s\n", name, field, strings.Trim(strconv.Quote(description), `"`))
		}
	}
	for _, name := range sortedKeys(s.types) {
		t := s.types[name]
		if !strings.HasSuffix(t.Name(), "List") && t.Name() != "WatchEvent" {
			continue
		}
		if _, isList := t.FieldByName("Items"); !isList && t.Name() != "WatchEvent" {
			continue
		}
		def, ok := published[modelName(t)]
		if !ok || !isGeneral(name) {
			continue
		}
		line(shape(t), "-", def.Description)
		for _, property := range sortedKeys(def.Properties) {
			if property != "kind" && property != "apiVersion" {
				line(shape(t), property, def.Properties[property].Description)
			}
		}
	}
	s.renderUntrimmed(kubernetes, published, enums, line)
	for _, example := range parameterKinds {
		docs := example.(interface{ SwaggerDoc() map[string]string }).SwaggerDoc()
		for _, field := range sortedKeys(docs) {
			if field != "" {
				line(shape(reflect.TypeOf(example)), field, docs[field])
			}
		}
	}
	for _, name := range sortedKeys(enums) {
		if !isGeneral(name) {
			continue
		}
		values := enums[name].comments
		for _, value := range sortedKeys(values) {
			fmt.Fprintf(&text, "enum %s %s %s\n", shortName(name), strings.ReplaceAll(strconv.Quote(value), " ", `\u0020`), values[value])
		}
	}
	return text.String()
}

// renderUntrimmed writes the descriptions of enum fields that end with a line break: the published documents, and with
// them the crate, lose it, and servers put it before what they say about the values.
func (s *typeSet) renderUntrimmed(kubernetes string, published map[string]definition, enums map[string]enum, line func(name, field, description string)) {
	source, err := os.ReadFile(filepath.Join(kubernetes, "pkg", "generated", "openapi", "zz_generated.openapi.go"))
	if err != nil {
		fail("read the generated documents: %v", err)
	}
	for _, name := range sortedKeys(s.types) {
		t := s.types[name]
		// Those of inlined types too.
		for _, f := range reflect.VisibleFields(t) {
			field, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if _, ok := enums[enumKey(f.Type)]; !ok || !isGeneral(name) {
				continue
			}
			description := published[modelName(t)].Properties[field].Description
			untrimmed := strings.Trim(strconv.Quote(description), `"`) + `\n\n\nPossible enum values:`
			if description != "" && bytes.Contains(source, []byte(`"`+untrimmed)) {
				line(shape(t), field, description+"\n")
			}
		}
	}
}

// isGeneral says whether a type is of a version that is served without any flag.
func isGeneral(name string) bool {
	path := name[:strings.LastIndex(name, ".")]
	return general.MatchString(path[strings.LastIndex(path, "/")+1:])
}

// shortName turns a full name of a type into what the tables call it.
func shortName(name string) string {
	at := strings.LastIndex(name, ".")
	return shortPackage(name[:at]) + name[at:]
}

// enum is a string type marked "+enum": its values, and what upstream says about each.
type enum struct {
	values   []string
	comments map[string]string
}

var spaces = regexp.MustCompile(`\s+`)

// comment words the comment of a constant as kube-openapi's generators do (pkg/generators/enum.go): without the
// constant's name, in one line. As there, it is whatever comment ends on the line above.
func comment(files *token.FileSet, file *ast.File, spec *ast.ValueSpec) string {
	above := files.Position(spec.Pos()).Line - 1
	for _, group := range file.Comments {
		if files.Position(group.End()).Line == above {
			text := strings.TrimPrefix(strings.TrimSpace(group.Text()), spec.Names[0].Name)
			return spaces.ReplaceAllString(strings.TrimSpace(text), " ")
		}
	}
	return ""
}

// add keeps the longer comment of a value that two constants have, as the generators do.
func (e *enum) add(value, comment string) {
	if e.comments == nil {
		e.comments = map[string]string{}
	}
	existing, known := e.comments[value]
	if !known {
		e.values = append(e.values, value)
		sort.Strings(e.values)
	}
	if !known || len(existing) < len(comment) || (len(existing) == len(comment) && existing > comment) {
		e.comments[value] = comment
	}
}
