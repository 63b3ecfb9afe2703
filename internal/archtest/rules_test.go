package archtest

import (
	"strings"
	"testing"
)

const sample = `
layer 0 llm           # words
layer 1 wire/*
layer 2 family keys profile
layer 3 family/*
layer 4 not 3 service/*
layer 6 app
test  family/familytest archtest
edge  profile keys: it has to
edge  service/x family/y: this one only
testonly example.com/sdk: an oracle
testonly testing: no tests in servers
`

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"lower level":               {"internal/wire/a", "internal/llm", ""},
		"two levels lower":          {"internal/family/a", "internal/llm", ""},
		"higher level":              {"internal/llm", "internal/wire/a", "level 1 is above level 0"},
		"parent of adapters":        {"internal/family/a", "internal/family", ""},
		"adapter of another":        {"internal/family/a", "internal/family/b", "both are of level 3"},
		"own level":                 {"internal/keys", "internal/profile", "both are of level 2"},
		"own level with an edge":    {"internal/profile", "internal/keys", ""},
		"excluded level":            {"internal/service/a", "internal/family/a", "level 4 must not know level 3"},
		"excluded with an edge":     {"internal/service/x", "internal/family/y", ""},
		"composition root":          {"internal/app", "internal/family/a", ""},
		"test support":              {"internal/app", "internal/family/familytest", "it is test support"},
		"test support from itself":  {"internal/family/familytest", "internal/app", ""},
		"standard library":          {"internal/llm", "net/http", ""},
		"testing":                   {"internal/llm", "testing", "no tests in servers"},
		"testing/fstest":            {"internal/llm", "testing/fstest", "no tests in servers"},
		"test module":               {"internal/app", "example.com/sdk/v2", "an oracle"},
		"module of a similar name":  {"internal/app", "example.com/sdkx", ""},
		"test module, test support": {"internal/archtest", "example.com/sdk", ""},
		"unlisted package":          {"internal/new", "internal/llm", "name it in internal/archtest/layers.txt"},
		"unlisted import":           {"internal/app", "internal/new", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, err := Parse(strings.NewReader(sample))
			if err != nil {
				t.Fatal(err)
			}
			imp := c.to
			if strings.HasPrefix(imp, "internal/") {
				imp = "m/" + imp
			}
			got := strings.Join(rules.Check("m", Package{Path: "m/" + c.from, Imports: []string{imp}}), "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("Check = %q, want %q", got, c.want)
			}
		})
	}
}

func TestUnused(t *testing.T) {
	t.Parallel()
	rules, err := Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	rules.Check("m", Package{Path: "m/internal/profile", Imports: []string{"m/internal/keys"}})
	if got := strings.Join(rules.Unused(), ","); got != "service/x family/y" {
		t.Errorf("Unused = %q", got)
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	rules, err := Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	for imp, want := range map[string]bool{
		"m/internal/family/familytest": true, "m/internal/app": false, "example.com/sdk": true, "example.com/other": false, "net/http": false, "archtest": false,
	} {
		if got := rules.Forbidden("m", imp); (got != "") != want {
			t.Errorf("Forbidden(%s) = %q, want forbidden: %v", imp, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown rule":           "floor 1 llm: x",
		"no level":               "layer",
		"level is no number":     "layer one llm",
		"no packages":            "layer 1",
		"no packages after not":  "layer 1 not 0",
		"named twice":            "layer 1 llm\ntest llm",
		"bad pattern":            "layer 1 [",
		"edge without reason":    "edge a b",
		"edge with empty reason": "edge a b: ",
		"edge with one name":     "edge a: because",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse(strings.NewReader(text)); err == nil {
				t.Errorf("%q was read", text)
			}
		})
	}
}
