package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// shortPackage is how the tables name a Go package: its last two path elements.
func shortPackage(path string) string {
	parts := strings.Split(path, "/")
	if name, ok := strings.CutPrefix(path, "k8s.io/apimachinery/pkg/"); ok && !strings.Contains(name, "/") {
		return name
	}
	return strings.Join(parts[len(parts)-2:], ".")
}

// fileOf names the table file of a Go package: the folder above the version.
func fileOf(path string) string {
	parts := strings.Split(path, "/")
	if name := shortPackage(path); !strings.Contains(name, ".") {
		return "meta"
	}
	return parts[len(parts)-2]
}

func modelName(t reflect.Type) string {
	if namer, ok := reflect.New(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return namer.OpenAPIModelName()
	}
	return ""
}

func (s *typeSet) render(published map[string]definition, enums map[string]enum) map[string]string {
	byPackage := map[string][]reflect.Type{}
	for _, t := range s.types {
		byPackage[t.PkgPath()] = append(byPackage[t.PkgPath()], t)
	}
	out := map[string]string{}
	for _, path := range sortedKeys(byPackage) {
		types := byPackage[path]
		sort.Slice(types, func(i, j int) bool { return types[i].Name() < types[j].Name() })
		var text strings.Builder
		if existing := out[fileOf(path)]; existing != "" {
			text.WriteString(existing + "\n")
		}
		prefix := ""
		for _, t := range types {
			if name := modelName(t); name != "" {
				prefix = strings.TrimSuffix(name, "."+t.Name())
			}
		}
		fmt.Fprintf(&text, "package %s model=%s\n", shortPackage(path), prefix)
		for _, t := range types {
			s.renderType(&text, t, s.definitionOf(t, published), enums)
		}
		out[fileOf(path)] = text.String()
	}
	return out
}

// definitionOf is what is published about a type. Types that others inline are published as part of those.
func (s *typeSet) definitionOf(t reflect.Type, published map[string]definition) definition {
	if def, ok := published[modelName(t)]; ok {
		return def
	}
	for _, name := range sortedKeys(s.types) {
		outer := s.types[name]
		for i := range outer.NumField() {
			if f := outer.Field(i); f.Anonymous && f.Type == t && strings.Split(f.Tag.Get("json"), ",")[0] == "" {
				if def := s.definitionOf(outer, published); def.Properties != nil {
					return definition{Properties: def.Properties, Required: def.Required}
				}
			}
		}
	}
	return definition{}
}

func (s *typeSet) renderType(text *strings.Builder, t reflect.Type, def definition, enums map[string]enum) {
	fmt.Fprintf(text, "\ntype %s", t.Name())
	if form, ok := special[key(t)]; ok {
		fmt.Fprintf(text, " form=%s", form)
	}
	kinds := s.kinds[key(t)]
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	for _, gvk := range kinds {
		fmt.Fprintf(text, " kind=%s/%s/%s", gvk.Group, gvk.Version, gvk.Kind)
	}
	if !reflect.PointerTo(t).Implements(protoMessager) {
		text.WriteString(" no-protobuf")
	}
	if def.Union != nil {
		fmt.Fprintf(text, " union=%s", compact(def.Union))
	}
	if def.MapType != "" {
		fmt.Fprintf(text, " map-type=%s", def.MapType)
	}
	lifecycle(text, t)
	text.WriteString("\n")
	for i := range t.NumField() {
		renderField(text, t.Field(i), def, enums)
	}
}

// lifecycle writes when a kind came, when it was deprecated and when it goes.
func lifecycle(text *strings.Builder, t reflect.Type) {
	value := reflect.New(t).Interface()
	if k, ok := value.(interface{ APILifecycleIntroduced() (int, int) }); ok {
		major, minor := k.APILifecycleIntroduced()
		fmt.Fprintf(text, " introduced=%d.%d", major, minor)
	}
	if k, ok := value.(interface{ APILifecycleDeprecated() (int, int) }); ok {
		major, minor := k.APILifecycleDeprecated()
		fmt.Fprintf(text, " deprecated=%d.%d", major, minor)
	}
	if k, ok := value.(interface{ APILifecycleRemoved() (int, int) }); ok {
		major, minor := k.APILifecycleRemoved()
		fmt.Fprintf(text, " removed=%d.%d", major, minor)
	}
	if k, ok := value.(replaced); ok {
		gvk := k.APILifecycleReplacement()
		fmt.Fprintf(text, " replacement=%s/%s/%s", gvk.Group, gvk.Version, gvk.Kind)
	}
}

func renderField(text *strings.Builder, f reflect.StructField, def definition, enums map[string]enum) {
	tag := strings.Split(f.Tag.Get("json"), ",")
	proto := strings.Split(f.Tag.Get("protobuf"), ",")
	if tag[0] == "-" || (f.Tag.Get("json") == "" && f.Tag.Get("protobuf") == "" && !f.Anonymous) {
		if special[f.Type.PkgPath()] == "" && len(proto) < 2 {
			return
		}
	}
	name, number, wire := tag[0], "-", ""
	if name == "" {
		name = "-"
	}
	if len(proto) > 1 {
		number = proto[1]
		if proto[0] == "fixed64" || proto[0] == "fixed32" {
			wire = proto[0]
		}
	}
	fmt.Fprintf(text, "  %s %s %s", name, number, shape(f.Type))
	for _, option := range tag[1:] {
		if option == "omitempty" || option == "omitzero" || option == "inline" {
			fmt.Fprintf(text, " %s", option)
		}
	}
	if wire != "" && f.Type.Kind() != reflect.Pointer {
		fmt.Fprintf(text, " wire=%s", wire)
	}
	if named := goName(f.Type); named != "" {
		fmt.Fprintf(text, " go=%s", named)
	}
	if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
		fmt.Fprintf(text, " patch=%s", strategy)
	}
	if mergeKey := f.Tag.Get("patchMergeKey"); mergeKey != "" {
		fmt.Fprintf(text, " merge-key=%s", mergeKey)
	}
	if values, ok := enums[enumKey(f.Type)]; ok {
		fmt.Fprintf(text, " enum=%s", strings.ReplaceAll(strings.Join(values.values, ","), " ", "\\u0020"))
	}
	property, ok := def.Properties[name]
	if ok {
		if property.ListType != "" {
			fmt.Fprintf(text, " list-type=%s", property.ListType)
		}
		if len(property.ListMapKeys) > 0 {
			fmt.Fprintf(text, " keys=%s", strings.Join(property.ListMapKeys, ","))
		}
		if property.MapType != "" {
			fmt.Fprintf(text, " map-type=%s", property.MapType)
		}
		if property.Default != nil {
			fmt.Fprintf(text, " default=%s", compact(property.Default))
		}
		if property.Format != "" && !impliedFormat(f.Type, property.Format) {
			fmt.Fprintf(text, " format=%s", property.Format)
		}
		for _, required := range def.Required {
			if required == name {
				text.WriteString(" required")
			}
		}
	}
	text.WriteString("\n")
}

func impliedFormat(t reflect.Type, format string) bool {
	switch shape(t) {
	case "int32", "*int32":
		return format == "int32"
	case "int64", "*int64":
		return format == "int64"
	case "float64", "*float64":
		return format == "double"
	case "bytes":
		return format == "byte"
	}
	return false
}

// shape writes a Go type: * pointer, [] list, {} map with string keys, wrapped[] a list that is a message of its own
// in protobuf, a scalar, a special form, or package.Type.
func shape(t reflect.Type) string {
	if form, ok := special[key(t)]; ok && !strings.HasPrefix(form, "schema-or") {
		return form
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + shape(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		if reflect.PointerTo(t).Implements(protoMessager) {
			return "wrapped[]" + shape(t.Elem())
		}
		return "[]" + shape(t.Elem())
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			fail("map with %s keys", t.Key())
		}
		return "{}" + shape(t.Elem())
	case reflect.Struct:
		return shortPackage(t.PkgPath()) + "." + t.Name()
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64, reflect.Uint16:
		return t.Kind().String()
	case reflect.Interface:
		return "any"
	}
	fail("no shape for %s", t)
	return ""
}

// goName is the Go type as it appears in upstream's decoding errors, where it is not the plain scalar.
func goName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && t.PkgPath() == "" && t.Key().PkgPath() != "" {
		return t.String()
	}
	if t.PkgPath() == "" || t.Kind() == reflect.Struct {
		if (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && t.Elem().PkgPath() != "" && t.Elem().Kind() != reflect.Struct {
			return t.String()
		}
		return ""
	}
	return t.String()
}

func enumKey(t reflect.Type) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return key(t)
}
