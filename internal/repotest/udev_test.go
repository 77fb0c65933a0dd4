package repotest

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// A udev rule is a list of KEY OP "VALUE".
var udevTerm = regexp.MustCompile(`^(SUBSYSTEM|ENV\{\w+\}|ATTRS?\{\w+\}|GROUP|MODE|TAG|IMPORT\{\w+\}|SYMLINK)(==|!=|=|\+=)"([^"]*)"$`)

// Each rule names one kind of device, by vendor and product or by the class of an interface
// that no other kind has, and lets in the group and the seat, never everyone.
func TestUdevRules(t *testing.T) {
	rules := 0
	for _, f := range textFiles(t) {
		if path.Ext(f.path) != ".rules" {
			continue
		}
		if name := path.Base(f.path); name >= "73-seat-late.rules" {
			t.Errorf("%s sorts behind 73-seat-late.rules, which acts on its tags", name)
		}
		for n, line := range strings.Split(string(f.content), "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			rules++
			set := map[string]string{}
			for _, term := range strings.Split(line, ", ") {
				m := udevTerm.FindStringSubmatch(term)
				if m == nil {
					t.Errorf("%s:%d: %q is not understood", f.path, n+1, term)
					continue
				}
				set[strings.Replace(m[1], "ATTRS", "ATTR", 1)+m[2]] = m[3]
			}
			id := regexp.MustCompile(`^[0-9a-f]{4}$`)
			class := set["ENV{ID_USB_INTERFACES}=="] == "*:ef0500:*" // USB3 Vision
			if !class && (!id.MatchString(set["ATTR{idVendor}=="]) || !id.MatchString(set["ATTR{idProduct}=="])) || set["SUBSYSTEM=="] == "" {
				t.Errorf("%s:%d: subsystem, and vendor and product or a class must be named", f.path, n+1)
			}
			if set["GROUP="] != "opu" || set["MODE="] != "0660" || set["TAG+="] != "uaccess" {
				t.Errorf("%s:%d: access must be the group's and the seat's: %v", f.path, n+1, set)
			}
		}
	}
	if rules == 0 {
		t.Error("there are no rules")
	}
}
