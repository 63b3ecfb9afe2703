package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// maxLines is the length of a file that nobody generated.
const maxLines = 1000

// source is one Go file.
type source struct {
	Name string // without folder
	Test bool
	Text []byte
}

// sources are the files of one package.
type sources struct {
	Room        string // e.g. "wire/route"
	TestSupport bool
	Files       []source
}

// problems returns one sentence for each broken rule:
//
//   - exactly one file has a package comment, and it starts as Go wants it;
//   - no file is longer than maxLines, but for generated ones ("_gen");
//   - no init functions and no package variables that change (test files and
//     test support may);
//   - rooms of the server use no state of package net/http;
//   - wire/... does not use encoding/json, which folds the case of keys and
//     escapes HTML.
func (s sources) problems() ([]string, error) {
	var all []string
	comments, code := 0, 0
	fset := token.NewFileSet()
	var files []*ast.File // that end up in the program
	for _, f := range s.Files {
		generated := strings.HasSuffix(f.Name, "_gen.go") || strings.HasSuffix(f.Name, "_gen_test.go")
		if n := bytes.Count(f.Text, []byte("\n")); n > maxLines && !generated {
			all = append(all, fmt.Sprintf("%s has %d lines, more than %d: split it by topic", f.Name, n, maxLines))
		}
		if f.Test {
			continue
		}
		tree, err := parser.ParseFile(fset, f.Name, f.Text, parser.ParseComments)
		if err != nil {
			return all, err
		}
		code++
		if tree.Doc != nil {
			comments++
			if want := "Package " + tree.Name.Name + " "; tree.Name.Name != "main" && !strings.HasPrefix(tree.Doc.Text(), want) {
				all = append(all, fmt.Sprintf("%s: the package comment does not start with %q", f.Name, want))
			}
		}
		files = append(files, tree)
	}
	if code > 0 && comments != 1 {
		all = append(all, fmt.Sprintf("%d files have a package comment, want exactly one", comments))
	}
	if s.TestSupport {
		return all, nil
	}
	variables := packageVariables(files)
	for _, f := range files {
		for _, p := range append(s.imports(f), state(f, variables)...) {
			all = append(all, fset.Position(p.at).String()+": "+p.text)
		}
	}
	return all, nil
}

// problem is a broken rule at a place in a file.
type problem struct {
	at   token.Pos
	text string
}

// imports looks for what the room must not use of other packages.
func (s sources) imports(f *ast.File) []problem {
	var all []problem
	program := strings.HasPrefix(s.Room, "cmd/")
	for _, spec := range f.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		switch {
		case name == "encoding/json" && strings.HasPrefix(s.Room, "wire/"):
			all = append(all, problem{spec.Pos(), "encoding/json does not speak AWS's JSON exactly: use wire/restjson"})
		case name == "net/http" && !program:
			local := "http"
			if spec.Name != nil {
				local = spec.Name.Name
			}
			all = append(all, httpState(f, local)...)
		}
	}
	return all
}

// httpState finds the shared state of net/http and its router, which cleans
// paths that AWS takes as they are.
func httpState(f *ast.File, local string) []problem {
	var all []problem
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); !ok || x.Name != local {
			return true
		}
		switch sel.Sel.Name {
		case "ServeMux", "NewServeMux":
			all = append(all, problem{sel.Pos(), "http.ServeMux redirects paths that AWS takes as they are: use wire/route"})
		case "DefaultServeMux", "Handle", "HandleFunc", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm":
			all = append(all, problem{sel.Pos(), "http." + sel.Sel.Name + " is state that servers in one process would share: pass a value in"})
		}
		return true
	})
	return all
}

// packageVariables returns the names that the files declare with var.
func packageVariables(files []*ast.File) map[string]*ast.ValueSpec {
	all := map[string]*ast.ValueSpec{}
	for _, f := range files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for _, name := range v.Names {
					all[name.Name] = v
				}
			}
		}
	}
	return all
}

// state finds init functions and package variables that change.
func state(f *ast.File, variables map[string]*ast.ValueSpec) []problem {
	var all []problem
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				all = append(all, problem{d.Pos(), "func init hides what a program starts with: call it from a constructor"})
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				all = append(all, changeable(d)...)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		var targets []ast.Expr
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				targets = n.Lhs
			}
		case *ast.IncDecStmt:
			targets = []ast.Expr{n.X}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
				targets = n.Args[:1]
			}
		}
		for _, x := range targets {
			if name := root(x); name != nil && isPackageVariable(name, variables) {
				all = append(all, problem{name.Pos(), "package variable " + name.Name + " changes: keep state in values that are passed in"})
			}
		}
		return true
	})
	return all
}

// changeable finds variables that can only be there to change: locks, atomics,
// channels, and those without a first value (but for embedded files).
func changeable(d *ast.GenDecl) []problem {
	var all []problem
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		embedded := strings.Contains(docText(d.Doc)+docText(v.Doc), "//go:embed")
		_, channel := v.Type.(*ast.ChanType)
		switch {
		case embedded:
		case len(v.Values) == 0, channel, ofPackage(v.Type, "sync"), ofPackage(v.Type, "atomic"):
			all = append(all, problem{v.Pos(), "package variable " + v.Names[0].Name + " is made to change: keep state in values that are passed in"})
		}
	}
	return all
}

func docText(c *ast.CommentGroup) string {
	text := ""
	if c != nil {
		for _, line := range c.List {
			text += line.Text + "\n"
		}
	}
	return text
}

// ofPackage reports whether a type is one of the named package.
func ofPackage(x ast.Expr, name string) bool {
	switch x := x.(type) {
	case *ast.SelectorExpr:
		p, ok := x.X.(*ast.Ident)
		return ok && p.Name == name
	case *ast.IndexExpr: // atomic.Pointer[T]
		return ofPackage(x.X, name)
	case *ast.StarExpr:
		return ofPackage(x.X, name)
	}
	return false
}

// root returns the variable that an assignment to x changes.
func root(x ast.Expr) *ast.Ident {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return e
		case *ast.SelectorExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.StarExpr:
			x = e.X
		case *ast.ParenExpr:
			x = e.X
		default:
			return nil
		}
	}
}

// isPackageVariable tells a package variable from a local one of its name: the
// parser has resolved names within their file.
func isPackageVariable(name *ast.Ident, variables map[string]*ast.ValueSpec) bool {
	spec, ok := variables[name.Name]
	return ok && name.Name != "_" && (name.Obj == nil || name.Obj.Decl == spec)
}
