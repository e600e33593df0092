// Command tables writes what upstream's Go types and published documents say about each API type as text files:
// one line per field, one line per served resource. Coracle's schema crate compiles those files into its binary.
//
// It takes facts: names, numbers, list types, keys, defaults, enum values; and of the published descriptions, which
// clients print, those that Coracle's build finds nowhere else (descriptions.go).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: tables OUTPUT_FOLDER")
	}
	out := os.Args[1]
	kubernetes := moduleDir("k8s.io/kubernetes")

	types := collectTypes()
	published := readPublished(filepath.Join(kubernetes, "api", "openapi-spec", "v3"))
	enums := readEnums(types.packages())
	for group, text := range types.render(published, enums) {
		write(filepath.Join(out, group+".txt"), text)
	}
	write(filepath.Join(out, "descriptions.txt"), types.renderDescriptions(kubernetes, published, enums))
	write(filepath.Join(out, "resources.txt"), renderResources(kubernetes, types))
}

// moduleDir is where a module's files lie; a module that is not in the cache yet is fetched, which list alone does not do.
func moduleDir(module string) string {
	if output, err := exec.Command("go", "mod", "download", module).CombinedOutput(); err != nil {
		fail("go mod download %s: %v\n%s", module, err, output)
	}
	output, err := exec.Command("go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		fail("go list -m %s: %v", module, err)
	}
	return strings.TrimSpace(string(output))
}

func write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		fail("write %s: %v", path, err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "tables: "+format+"\n", args...)
	os.Exit(1)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
