package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

type replaced interface {
	APILifecycleReplacement() schema.GroupVersionKind
}

// definition is the part of a published schema that Go's struct tags do not say.
type definition struct {
	Description string
	Properties  map[string]property
	Required    []string
	Union       json.RawMessage `json:"x-kubernetes-unions"`
	MapType     string          `json:"x-kubernetes-map-type"`
}

type property struct {
	Description string
	Default     json.RawMessage
	Format      string
	ListType    string   `json:"x-kubernetes-list-type"`
	ListMapKeys []string `json:"x-kubernetes-list-map-keys"`
	MapType     string   `json:"x-kubernetes-map-type"`
}

func readPublished(folder string) map[string]definition {
	out := map[string]definition{}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		fail("no published documents in %s: %v", folder, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			fail("read %s: %v", file, err)
		}
		var document struct {
			Components struct{ Schemas map[string]definition }
		}
		if err := json.Unmarshal(data, &document); err != nil {
			fail("parse %s: %v", file, err)
		}
		for name, def := range document.Components.Schemas {
			out[name] = def
		}
	}
	return out
}

func compact(raw json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		fail("compact %s: %v", raw, err)
	}
	return strings.ReplaceAll(out.String(), " ", "\\u0020")
}

// readEnums finds the named string types marked "+enum" and their constants.
func readEnums(packages []string) map[string]enum {
	out := map[string]enum{}
	// Every string constant by path of its package and name: some are made from those of another package.
	constants := map[string]string{}
	for _, path := range packages {
		dir, err := exec.Command("go", "list", "-mod=mod", "-f", "{{.Dir}}", path).Output()
		if err != nil {
			fail("go list %s: %v", path, err)
		}
		files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
		marked, values := map[string]bool{}, map[string]*enum{}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || strings.Contains(filepath.Base(file), "generated") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments)
			if err != nil {
				fail("parse %s: %v", file, err)
			}
			source := sourceFile{path, set, parsed, constants}
			for _, declaration := range parsed.Decls {
				if general, ok := declaration.(*ast.GenDecl); ok {
					source.scan(general, marked, values)
				}
			}
		}
		for name := range marked {
			if values[name] == nil {
				values[name] = &enum{}
			}
			out[path+"."+name] = *values[name]
		}
	}
	return out
}

type sourceFile struct {
	path      string
	set       *token.FileSet
	file      *ast.File
	constants map[string]string
}

func (s sourceFile) scan(declaration *ast.GenDecl, marked map[string]bool, values map[string]*enum) {
	for _, spec := range declaration.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if hasMarker(declaration.Doc) || hasMarker(spec.Doc) {
				marked[spec.Name.Name] = true
			}
		case *ast.ValueSpec:
			if declaration.Tok != token.CONST || len(spec.Values) != 1 {
				continue
			}
			named, value, ok := s.constant(spec)
			if !ok {
				continue
			}
			s.constants[s.path+"."+spec.Names[0].Name] = value
			if values[named] == nil {
				values[named] = &enum{}
			}
			values[named].add(value, comment(s.set, s.file, spec))
		}
	}
}

// constant is the type and the value of a string constant: X T = "v", X = T("v") or X = T(other.Y).
func (s sourceFile) constant(spec *ast.ValueSpec) (named, value string, ok bool) {
	expression := spec.Values[0]
	if t, typed := spec.Type.(*ast.Ident); typed {
		named = t.Name
	} else if call, converted := expression.(*ast.CallExpr); converted && len(call.Args) == 1 {
		t, plain := call.Fun.(*ast.Ident)
		if !plain {
			return "", "", false
		}
		named, expression = t.Name, call.Args[0]
	}
	switch expression := expression.(type) {
	case *ast.BasicLit:
		value, err := strconv.Unquote(expression.Value)
		return named, value, err == nil && expression.Kind == token.STRING
	case *ast.SelectorExpr:
		owner, plain := expression.X.(*ast.Ident)
		if !plain {
			return "", "", false
		}
		value, known := s.constants[s.imported(owner.Name)+"."+expression.Sel.Name]
		return named, value, known
	}
	return "", "", false
}

// imported is the path of the package that a file calls by that name.
func (s sourceFile) imported(name string) string {
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if (spec.Name != nil && spec.Name.Name == name) || (spec.Name == nil && path[strings.LastIndex(path, "/")+1:] == name) {
			return path
		}
	}
	return ""
}

func hasMarker(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, line := range doc.List {
		if strings.TrimSpace(strings.TrimPrefix(line.Text, "//")) == "+enum" {
			return true
		}
	}
	return false
}
