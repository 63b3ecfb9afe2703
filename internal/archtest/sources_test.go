package archtest

import (
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	t.Parallel()
	const head = "// Package p is here.\npackage p\n"
	for name, c := range map[string]struct {
		room  string // "" means "meter"
		files []string
		want  string // "" means no problem
	}{
		"clean":                       {files: []string{head + "var names = map[string]int{\"a\": 1}\nfunc f(names []int) { names[0] = 1 }"}},
		"second package comment":      {files: []string{head, head}, want: "2 files have a package comment"},
		"no package comment":          {files: []string{"package p", "package p"}, want: "0 files"},
		"another package comment":     {files: []string{"// This is here.\npackage p"}, want: "does not start with \"Package p \""},
		"command comment":             {files: []string{"// Outcrop serves.\npackage main"}},
		"long file":                   {files: []string{head + strings.Repeat("\n", maxLines)}, want: "split it by topic"},
		"init":                        {files: []string{head + "func init() {}"}, want: "func init"},
		"method named init":           {files: []string{head + "type t int\nfunc (t) init() {}"}},
		"no first value":              {files: []string{head + "var n int"}, want: "variable n is made to change"},
		"embedded file":               {files: []string{head + "//go:embed x\nvar n string\n// Y.\n//\n//go:embed y\nvar y []byte"}},
		"lock":                        {files: []string{head + "import \"sync\"\nvar mu sync.Mutex = sync.Mutex{}"}, want: "variable mu is made to change"},
		"atomic":                      {files: []string{head + "import \"sync/atomic\"\nvar v atomic.Pointer[int]"}, want: "variable v is made to change"},
		"channel":                     {files: []string{head + "var c chan int = make(chan int)"}, want: "variable c is made to change"},
		"assigned":                    {files: []string{head + "var n = 1\nfunc f() { n = 2 }"}, want: "variable n changes"},
		"assigned in another file":    {files: []string{head + "var n = 1", "package p\nfunc f() { n = 2 }"}, want: "variable n changes"},
		"counted":                     {files: []string{head + "var n = 1\nfunc f() { n++ }"}, want: "variable n changes"},
		"element set":                 {files: []string{head + "var m = map[int]int{}\nfunc f() { m[1] = 2 }"}, want: "variable m changes"},
		"element deleted":             {files: []string{head + "var m = map[int]int{}\nfunc f() { delete(m, 1) }"}, want: "variable m changes"},
		"blank":                       {files: []string{head + "var _ = 1\nfunc f() { _ = 2 }"}},
		"field set":                   {files: []string{head + "var v = &t{}\ntype t struct{ a int }\nfunc f() { v.a = 1 }"}, want: "variable v changes"},
		"local of the same name":      {files: []string{head + "var n = 1\nfunc f() { n := 1; n++ }"}},
		"DefaultClient":               {files: []string{head + "import \"net/http\"\nvar c = http.DefaultClient"}, want: "http.DefaultClient is state"},
		"renamed import":              {files: []string{head + "import h \"net/http\"\nvar c = h.Get"}, want: "http.Get is state"},
		"router":                      {files: []string{head + "import \"net/http\"\nvar m = http.NewServeMux()"}, want: "use wire/route"},
		"client of its own":           {files: []string{head + "import \"net/http\"\nvar c = &http.Client{}"}},
		"DefaultClient in a program":  {room: "cmd/apigen", files: []string{"// X.\npackage main\nimport \"net/http\"\nvar c = http.DefaultClient"}},
		"encoding/json":               {files: []string{head + "import _ \"encoding/json\""}},
		"encoding/json on the wire":   {room: "wire/route", files: []string{head + "import _ \"encoding/json\""}, want: "use wire/restjson"},
		"a file that is no Go at all": {files: []string{"x"}, want: "expected 'package'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pkg := sources{Room: "meter"}
			if c.room != "" {
				pkg.Room = c.room
			}
			for i, text := range c.files {
				pkg.Files = append(pkg.Files, source{Name: string(rune('a'+i)) + ".go", Text: []byte(text)})
			}
			problems, err := pkg.problems()
			got := strings.Join(problems, "\n")
			if err != nil {
				got += err.Error()
			}
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("problems = %q, want %q", got, c.want)
			}
		})
	}
}

func TestProblemsExempt(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\n", maxLines+1)
	for name, s := range map[string]sources{
		"generated":    {Files: []source{{Name: "a_gen.go", Text: []byte("// Package p is.\npackage p\n" + long)}}},
		"test files":   {Files: []source{{Name: "a_test.go", Test: true, Text: []byte("package p\nfunc init() {}\nvar n int")}}},
		"test support": {TestSupport: true, Files: []source{{Name: "a.go", Text: []byte("// Package p is.\npackage p\nvar n int")}}},
	} {
		if problems, err := s.problems(); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
	s := sources{Files: []source{{Name: "a_test.go", Test: true, Text: []byte("package p\n" + long)}}}
	if problems, err := s.problems(); err != nil || len(problems) != 1 {
		t.Errorf("a long test file: %v, %v; want one problem", problems, err)
	}
}
