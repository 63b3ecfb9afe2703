package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lit builds a composite literal of keyed fields, leaving zero values out.
type lit struct{ fields []string }

func (l *lit) raw(key, value string) {
	if value != "" {
		l.fields = append(l.fields, key+": "+value)
	}
}

func (l *lit) str(key, value string) {
	if value != "" {
		l.raw(key, strconv.Quote(value))
	}
}

func (l *lit) flag(key string, on bool) {
	if on {
		l.raw(key, "true")
	}
}

func (l *lit) int(key string, v int64) {
	if v != 0 {
		l.raw(key, strconv.FormatInt(v, 10))
	}
}

func (l *lit) list(key string, v []string) {
	if len(v) > 0 {
		l.raw(key, fmt.Sprintf("%#v", v))
	}
}

func (l *lit) String() string { return "{" + strings.Join(l.fields, ", ") + "}" }

// emitShapes writes the shape ids and the shape table.
//
// All of it is laid out by the linker: the table refers to other shapes by
// number, so recursion needs no pointers and no code runs at start-up.
func (a *api) emitShapes(s *source) {
	s.begin(a.pkg)
	s.p("import %q\n", awsapiPath)
	s.p("// Shape ids, in the order of shape names.")
	s.p("const (\n_ awsapi.ShapeID = iota")
	for _, n := range a.shapes {
		s.p("%s", idConst(n.Name))
	}
	s.p(")\n")
	s.p("var shapes = [...]awsapi.Shape{")
	for _, n := range a.shapes {
		a.emitShape(s, n)
	}
	s.p("}")
}

func idConst(shape string) string { return "id" + shape }

func (a *api) emitShape(s *source, n *node) {
	kind, _ := n.kind() // checked by build
	var l lit
	l.str("Name", n.Name)
	l.raw("Kind", "awsapi."+kind)
	if n.Elem != "" {
		l.raw("Elem", idConst(n.Elem))
	}
	if n.Key != "" {
		l.raw("Key", idConst(n.Key))
	}
	if n.Min != nil {
		l.flag("HasMin", true)
		l.raw("Min", num(*n.Min))
	}
	if n.Max != nil {
		l.flag("HasMax", true)
		l.raw("Max", num(*n.Max))
	}
	l.str("Pattern", n.Pattern)
	l.str("GoPattern", a.regexps[n.Pattern])
	if len(n.Enum) > 0 {
		l.raw("Enum", fmt.Sprintf("%#v", n.Enum))
	}
	l.flag("Sensitive", n.Sensitive)
	l.flag("EventStream", n.EventStream)
	l.flag("URLEncoded", slices.Contains(a.overlay.URLEncoded, n.Name))
	if e := n.Error; e != nil {
		var f lit
		f.int("Status", int64(e.Status))
		if e.Code != n.Name {
			f.str("Code", e.Code)
		}
		f.flag("Sender", e.Sender)
		f.flag("Retryable", e.Retryable)
		l.raw("Error", "&awsapi.ErrorFacts"+f.String())
	}
	if len(n.Members) > 0 && !n.Document {
		var ms strings.Builder
		for i := range n.Members {
			fmt.Fprintf(&ms, "%s,\n", a.memberLit(n, &n.Members[i]))
		}
		l.raw("Members", "[]awsapi.Member{\n"+ms.String()+"}")
	}
	s.p("%s: %s,", idConst(n.Name), l.String())
}

func (a *api) memberLit(n *node, m *member) string {
	loc, _ := location(m, n.shape) // checked by build
	target := a.byName[m.Shape]
	var l lit
	l.str("Name", m.Name)
	if m.LocationName != m.Name {
		l.str("WireName", m.LocationName)
	}
	l.raw("Shape", idConst(m.Shape))
	if loc != "" {
		l.raw("Location", "awsapi."+loc)
	}
	l.flag("Required", m.Required)
	l.flag("IdempotencyToken", m.IdempotencyToken)
	l.flag("Sensitive", target.Sensitive)
	l.str("TimestampFormat", a.timestampFormat(m, target))
	return l.String()
}

// timestampFormat returns the format of the timestamps in a member, "" where
// there are none or the codecs' default holds. The JSON protocols have a default
// of their own, which is written out so that one codec of JSON serves them all.
func (a *api) timestampFormat(m *member, target *node) string {
	for target.Type == "list" || target.Type == "map" {
		target = a.byName[target.Elem]
	}
	if target.Type != "timestamp" {
		return ""
	}
	format := cmp.Or(m.TimestampFormat, target.TimestampFormat)
	if format == "" && a.facts.Protocol == "json" {
		return "unixTimestamp"
	}
	return format
}

// emitOperations writes the service, its operation table and the typed
// operation values.
func (a *api) emitOperations(s *source) {
	s.p("%s\n", genHeader)
	s.p("// Package %s holds the types and tables of the %s API (%s).", a.pkg, a.facts.ServiceID, a.facts.APIVersion)
	s.p("//")
	s.p("// %s is the API's table and OpX the operation X with its Go types. All", modelVar)
	s.p("// variables are read-only: they are shared by every server of a process.")
	s.p("package %s\n", a.pkg)
	s.p("import %q\n", awsapiPath)
	s.p("// %s describes the API. Read-only.", modelVar)
	s.p("var %s = awsapi.Service{", modelVar)
	for _, kv := range [][2]string{
		{"Name", a.facts.Service}, {"ID", a.facts.ServiceID}, {"SigningName", a.facts.SigningName},
		{"APIVersion", a.facts.APIVersion}, {"TargetPrefix", a.facts.TargetPrefix}, {"JSONVersion", a.facts.JSONVersion},
		{"Protocol", a.facts.Protocol}, {"XMLNamespace", a.facts.XMLNamespace}, {"BotocoreModel", a.version},
	} {
		if kv[1] != "" {
			s.p("%s: %q,", kv[0], kv[1])
		}
	}
	s.p("Shapes: shapes[:],\nOperations: operations[:],\n}\n")
	s.p("var operations = [...]awsapi.Operation{")
	for i := range a.facts.Operations {
		a.emitOperation(s, &a.facts.Operations[i])
	}
	s.p("}\n")
	s.p("// The operations with their Go types. Read-only.")
	s.p("var (")
	for i, op := range a.facts.Operations {
		s.p("Op%s = awsapi.Op[%sInput, %sOutput]{Service: &%s, Operation: &operations[%d]}",
			op.Name, op.Name, op.Name, modelVar, i)
	}
	s.p(")")
}

func (a *api) emitOperation(s *source, op *operation) {
	o := a.overlay.Operations[op.Name]
	s.p("{")
	s.p("Name: %q, Method: %q, URI: %q, Status: %d,", op.Name, op.Method, op.URI, op.Status)
	s.p("Input: %s, Output: %s,", idConst(op.Input), idConst(op.Output))
	if len(op.Errors) > 0 {
		s.p("Errors: []awsapi.ShapeID{")
		for _, e := range op.Errors {
			s.p("%s,", idConst(e))
		}
		s.p("},")
	}
	name := cmp.Or(o.Action, op.Name)
	s.p("Action: %q,", a.facts.SigningName+":"+name)
	resources := o.Resources
	if act := a.auth.action(name); act != nil {
		s.p("Access: awsapi.%s,", accessConst(act.Access))
		if resources == nil {
			resources = act.Resources
		}
	}
	if len(resources) > 0 {
		s.p("Resources: %#v,", resources)
	}
	if p := op.Pagination; p != nil {
		var l lit
		l.str("InputToken", p.InputToken)
		l.str("OutputToken", p.OutputToken)
		l.str("MoreResults", p.MoreResults)
		l.str("LimitKey", p.LimitKey)
		l.str("ResultKey", p.ResultKey)
		s.p("Pagination: awsapi.Pagination%s,", l.String())
	}
	if op.void {
		s.p("Void: true,")
	}
	if a.bearer(op) {
		s.p("Bearer: true,")
	}
	if slices.Contains(op.Auth, authNone) {
		s.p("NoAuth: true,")
	}
	if a.overlay.MaxBody != 0 {
		s.p("MaxBody: %d,", a.overlay.MaxBody)
	}
	s.p("},")
}

const (
	authByKey = "smithy.api#httpBearerAuth"
	authNone  = "smithy.api#noAuth"
)

// bearer says whether bearer keys are accepted for op.
func (a *api) bearer(op *operation) bool {
	auth := op.Auth
	if len(auth) == 0 {
		auth = a.facts.Auth
	}
	return slices.Contains(auth, authByKey) && !a.overlay.Operations[op.Name].NoBearer
}
