package repotest

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What no file may contain: places that exist on somebody's machine only. The
// strings are put together here so that this file does not contain them.
var (
	machinePath = regexp.MustCompile(`(?m)(?:^|[\s"'=:(\x60])/(?:` + strings.Join([]string{"work", "root", "home", "tmp", "Users"}, "|") + `)(?:/|\b)`)
	registry    = regexp.MustCompile(strings.Join([]string{
		`proxy\.` + `golang\.org`, `sum\.` + `golang\.org`, `pypi\.` + `org`, `python` + `hosted\.org`, `registry\.` + `npmjs`,
		`deb\.` + `debian\.org`, `archive\.` + `ubuntu`, `crates\.` + `io`, `artif` + `actory`, `GO` + `PROXY`,
	}, "|"))
)

func foreign(content string) string {
	if m := machinePath.FindString(content); m != "" {
		return m
	}
	return registry.FindString(content)
}

func TestNoForeignPlaces(t *testing.T) {
	for _, f := range textFiles(t) {
		if m := foreign(string(f.content)); m != "" {
			t.Errorf("%s contains %q: a place that others do not have", f.path, m)
		}
	}
}

func TestForeign(t *testing.T) {
	for _, s := range []string{"see /" + "work/x", "\"/" + "tmp\"", "dir=/" + "home/me", "https://proxy." + "golang.org", "artif" + "actory.example"} {
		if foreign(s) == "" {
			t.Errorf("%q passes", s)
		}
	}
	for _, s := range []string{"train and/or work/x", "a/tmp/b", "the /run folder", "golang.org/x/term"} {
		if m := foreign(s); m != "" {
			t.Errorf("%q is refused for %q", s, m)
		}
	}
}

var (
	fence      = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	link       = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
)

// links returns the relative files that a Markdown text points to.
func links(text string) []string {
	text = inlineCode.ReplaceAllString(fence.ReplaceAllString(text, ""), "")
	var targets []string
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		u, err := url.Parse(m[1])
		if err != nil {
			targets = append(targets, m[1]) // resolves to nothing
		} else if u.Scheme == "" && u.Host == "" && u.Path != "" {
			targets = append(targets, u.Path)
		}
	}
	return targets
}

func TestLinks(t *testing.T) {
	for _, f := range textFiles(t) {
		if !strings.HasSuffix(f.path, ".md") {
			continue
		}
		for _, target := range links(string(f.content)) {
			if strings.HasPrefix(target, "/") {
				t.Errorf("%s links to %s; make it relative", f.path, target)
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(f.path), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", f.path, target)
			}
		}
	}
}

func TestLinksAreFound(t *testing.T) {
	text := "[a](b.md) ![c](d/e.png \"title\") [f](https://example.org) [g](#here) [h](i.md#there)\n" +
		"`x[0](y)`\n```\n[no](link)\n```\n[last](j)"
	if got, want := strings.Join(links(text), " "), "b.md d/e.png i.md j"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReadmeTellsHowToTest: the script of continuous integration runs the command
// that the README tells, so that it stays true.
func TestReadmeTellsHowToTest(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fence.FindAllString(string(readme), -1) {
		if regexp.MustCompile(`(?m)^go test `).MatchString(block) {
			return
		}
	}
	t.Error("README.md has no fenced line that begins with go test")
}
