package repotest

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// A textFile is a file of the repository, without what Git and programs keep there.
type textFile struct {
	path    string // relative to the root, with slashes
	content []byte
}

// textFiles returns every file of the repository that is not binary.
func textFiles(t *testing.T) []textFile {
	t.Helper()
	var files []textFile
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch p {
			case ".git", "run", "out": // as .gitignore says
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() { // a worktree's .git is a file
			return nil
		}
		content, err := fs.ReadFile(tree, p)
		if err != nil {
			return err
		}
		if p != ".git" && !bytes.Contains(content, []byte{0}) {
			files = append(files, textFile{p, content})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A goFile is a Go file, whatever its build tags.
type goFile struct {
	textFile
	pkg  string // the folder, relative to the root
	test bool
	ast  *ast.File // up to the imports
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	for _, f := range textFiles(t) {
		if !strings.HasSuffix(f.path, ".go") || strings.Contains(f.path, "testdata/") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.content, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, goFile{f, path.Dir(f.path), strings.HasSuffix(f.path, "_test.go"), parsed})
	}
	return files
}

// ours returns the packages of this module that f imports, relative to it.
func (f goFile) ours() []string {
	var ours []string
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value) // the parser has seen that it is a string
		if p, ok := strings.CutPrefix(p, module+"/"); ok {
			ours = append(ours, p)
		}
	}
	return ours
}

func TestFormat(t *testing.T) {
	for _, f := range goFiles(t) {
		formatted, err := format.Source(f.content)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(formatted, f.content) {
			t.Errorf("%s is not formatted; run gofmt -w", f.path)
		}
	}
}

func TestPackageComments(t *testing.T) {
	comments := map[string][]string{} // the files with one, by package
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		if _, known := comments[f.pkg]; !known {
			comments[f.pkg] = nil
		}
		if f.ast.Doc == nil {
			continue
		}
		comments[f.pkg] = append(comments[f.pkg], f.path)
		start := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			start = "Command " + path.Base(f.pkg) + " "
		}
		if !strings.HasPrefix(f.ast.Doc.Text(), start) {
			t.Errorf("%s: the package comment does not begin with %q", f.path, start)
		}
	}
	for pkg, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, in %v; it needs one", pkg, len(files), files)
		}
	}
}

// TestContinuousIntegrationRuns sees that the script can be started from a checkout.
func TestContinuousIntegrationRuns(t *testing.T) {
	info, err := os.Stat(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o111 != 0o111 {
		t.Errorf(".ci/run has mode %v; everyone must be able to execute it", info.Mode())
	}
}
