// Package policytest holds a second evaluator of IAM policies, written straight
// from the rules, slow and plain, and a maker of random policies and requests. They
// share no code with package policy, so what both say alike is probably right.
package policytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// Answer is what a policy says about a request.
type Answer struct {
	Effect policy.Effect
	Exact  bool // of Allow: a statement that allows names the principal itself
}

// Naive evaluates a policy of a kind, which must be one that Parse takes. It reads
// the text anew on each call and tries everything.
func Naive(text []byte, kind policy.Kind, r *policy.Request) Answer {
	var doc struct {
		Version   string
		Statement json.RawMessage
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return Answer{}
	}
	var statements []map[string]any
	if json.Unmarshal(doc.Statement, &statements) != nil {
		var one map[string]any
		if json.Unmarshal(doc.Statement, &one) != nil {
			return Answer{}
		}
		statements = append(statements, one)
	}
	e := naive{version: doc.Version, kind: kind, r: r}
	var allowed, denied, exact bool
	for _, s := range statements {
		if !e.action(s) || !e.resource(s) || !e.condition(s) {
			continue
		}
		applies, self := e.principal(s)
		switch {
		case !applies:
		case s["Effect"] == "Deny":
			denied = true
		default:
			allowed = true
			exact = exact || self
		}
	}
	switch {
	case denied:
		return Answer{Effect: policy.Deny}
	case allowed:
		return Answer{Effect: policy.Allow, Exact: exact}
	}
	return Answer{}
}

type naive struct {
	version string
	kind    policy.Kind
	r       *policy.Request
}

// list makes a list of what may be a single value.
func list(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{strconv.FormatBool(v)}
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, list(one)...)
		}
		return all
	}
	return nil
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func (e *naive) action(s map[string]any) bool {
	fits := func(patterns any) bool {
		for _, p := range list(patterns) {
			if fit(plain(strings.ToLower(p)), strings.ToLower(e.r.Action)) {
				return true
			}
		}
		return false
	}
	if not, ok := s["NotAction"]; ok {
		return !fits(not)
	}
	return fits(s["Action"])
}

func (e *naive) resource(s map[string]any) bool {
	if e.kind == policy.Trust {
		return true
	}
	fits := func(patterns any) bool {
		for _, p := range list(patterns) {
			for p != "*" && strings.Count(p, ":") < 5 {
				p += ":*"
			}
			cells, ok := e.cells(p, true)
			if ok && fit(bind(cells), e.r.Resource) {
				return true
			}
		}
		return false
	}
	if not, ok := s["NotResource"]; ok {
		return !fits(not)
	}
	return fits(s["Resource"])
}

// NaiveResource tells whether an ARN fits a pattern of the element Resource.
func NaiveResource(pattern, arn string) bool { return fit(bind(plain(pattern)), arn) }

// bind keeps wildcards in the first five parts of an ARN within the part, unless a
// star ends it.
func bind(cells []cell) []cell {
	for i, colons := 0, 0; i < len(cells) && colons < 5; i++ {
		ends := i == len(cells)-1 || cells[i+1] == cell{r: ':'}
		cells[i].within = cells[i].any || cells[i].run && !ends
		if cells[i] == (cell{r: ':'}) {
			colons++
		}
	}
	return cells
}

// principal tells whether the statement is about the principal, and whether it
// names the principal itself.
func (e *naive) principal(s map[string]any) (applies, self bool) {
	if not, ok := s["NotPrincipal"]; ok {
		self, role, account, everybody := e.names(not)
		p := &e.r.Principal
		switch {
		case everybody:
			return false, false
		case p.Anonymous:
			return true, false
		case p.Service != "" || p.Account == "":
			return !self, false
		case strings.HasSuffix(p.ARN, ":root"):
			return !account, false
		}
		return !(account && (self || role)), false
	}
	if is, ok := s["Principal"]; ok {
		self, role, account, everybody := e.names(is)
		return self || role || account || everybody, self
	}
	return true, false
}

// names says how an element names the principal.
func (e *naive) names(element any) (self, role, account, everybody bool) {
	if element == "*" {
		return false, false, false, true
	}
	kinds, _ := element.(map[string]any)
	aws := list(kinds["AWS"])
	everybody = contains(aws, "*")
	p := &e.r.Principal
	if p.Anonymous {
		return false, false, false, everybody
	}
	if p.Service != "" && contains(list(kinds["Service"]), p.Service) {
		self = true
	}
	if p.Federated != "" && contains(list(kinds["Federated"]), p.Federated) {
		self = true
	}
	root := regexp.MustCompile(`^arn:[^:]*:iam::` + regexp.QuoteMeta(p.Account) + `:root$`)
	for _, name := range aws {
		switch {
		case p.Account != "" && p.Service == "" && (name == p.Account || root.MatchString(name)):
			account = true
		case p.ARN != "" && name == p.ARN && !strings.HasSuffix(name, ":root"):
			self = true
		case p.UserID != "" && name == p.UserID:
			self = true
		case p.RoleARN != "" && name == p.RoleARN:
			role = true
		case p.UserID != "" && strings.HasPrefix(p.UserID, name+":"):
			role = true
		}
	}
	return self, role, account, everybody
}

func (e *naive) condition(s map[string]any) bool {
	operators, _ := s["Condition"].(map[string]any)
	for name, keys := range operators {
		for key, want := range keys.(map[string]any) {
			if !e.holds(name, strings.ToLower(key), list(want)) {
				return false
			}
		}
	}
	return true
}

// multivalued are the keys that need a set operator.
const multivalued = " aws:calledvia aws:principalorgpaths aws:principalservicenameslist aws:resourceorgpaths" +
	" aws:sourceorgpaths aws:tagkeys aws:vpceorgpaths sts:transitivetagkeys "

func (e *naive) holds(name, key string, want []string) bool {
	var given []string
	if e.r.Keys != nil {
		if v, ok := e.r.Keys.Values(key); ok {
			given = v
		}
	}
	if name == "Null" {
		return contains(lowered(want), strconv.FormatBool(len(given) == 0))
	}
	set, base, found := strings.Cut(name, ":")
	if !found {
		set, base = "", name
	}
	ifExists := strings.HasSuffix(base, "IfExists")
	base = strings.TrimSuffix(base, "IfExists")
	negated := strings.Contains(base, "Not")
	base = strings.Replace(base, "Not", "", 1)
	some := func(v string) bool {
		for _, w := range want {
			if e.test(base, v, w) {
				return true
			}
		}
		return false
	}
	if set != "" && len(given) == 1 && given[0] == "" {
		given = nil
	}
	if len(given) == 0 {
		if ifExists {
			return true
		}
		switch set {
		case "ForAllValues":
			return true
		case "ForAnyValue":
			return false
		}
		return negated
	}
	right, wrong := 0, 0
	for _, v := range given {
		if some(v) != negated {
			right++
		} else {
			wrong++
		}
	}
	switch set {
	case "ForAllValues":
		return wrong == 0
	case "ForAnyValue":
		return right > 0
	}
	if len(given) > 1 || strings.Contains(multivalued, " "+key+" ") {
		return false
	}
	return right == 1
}

func lowered(all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, strings.ToLower(s))
	}
	return out
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// test compares one value of the request with one of the policy.
func (e *naive) test(base, given, want string) bool {
	switch base {
	case "StringEquals", "StringEqualsIgnoreCase", "Bool":
		cells, ok := e.cells(want, false)
		if !ok {
			return false
		}
		var text strings.Builder
		for _, c := range cells {
			text.WriteRune(c.r)
		}
		if base == "StringEquals" {
			return text.String() == given
		}
		if base == "Bool" && strings.ToLower(given) != "true" && strings.ToLower(given) != "false" {
			return false
		}
		return strings.EqualFold(text.String(), given)
	case "StringLike":
		cells, ok := e.cells(want, true)
		return ok && fit(cells, given)
	case "ArnEquals", "ArnLike":
		return e.arn(given, want)
	case "BinaryEquals":
		a, errA := base64.StdEncoding.DecodeString(given)
		b, errB := base64.StdEncoding.DecodeString(want)
		return errA == nil && errB == nil && bytes.Equal(a, b)
	case "IpAddress":
		ip := net.ParseIP(given)
		if _, block, err := net.ParseCIDR(want); err == nil {
			return ip != nil && block.Contains(ip)
		}
		return ip != nil && ip.Equal(net.ParseIP(want))
	}
	if operator, ok := strings.CutPrefix(base, "Numeric"); ok {
		if !decimal.MatchString(given) || !decimal.MatchString(want) {
			return false
		}
		a, okA := new(big.Rat).SetString(given)
		b, okB := new(big.Rat).SetString(want)
		return okA && okB && ordered(operator, a.Cmp(b))
	}
	if operator, ok := strings.CutPrefix(base, "Date"); ok {
		a, okA := date(given)
		b, okB := date(want)
		return okA && okB && ordered(operator, a.Compare(b))
	}
	return false
}

func ordered(operator string, order int) bool {
	switch operator {
	case "Equals":
		return order == 0
	case "LessThan":
		return order == -1
	case "LessThanEquals":
		return order != 1
	case "GreaterThan":
		return order == 1
	case "GreaterThanEquals":
		return order != -1
	}
	return false
}

func date(s string) (time.Time, bool) {
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z07:00",
		"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseUint(s, 10, 62)
	return time.Unix(int64(n), 0), err == nil
}

// arn compares ARNs part by part.
func (e *naive) arn(given, want string) bool {
	cells, ok := e.cells(want, true)
	parts := strings.SplitN(given, ":", 6)
	if !ok || len(parts) != 6 {
		return false
	}
	if want == "*" {
		return true
	}
	for i, part := range parts {
		var of []cell
		for len(cells) > 0 && (i == 5 || cells[0] != cell{r: ':'}) {
			of, cells = append(of, cells[0]), cells[1:]
		}
		if i < 5 {
			if len(cells) == 0 {
				return false
			}
			cells = cells[1:]
		}
		if !fit(of, part) {
			return false
		}
	}
	return true
}

// cell is one character of a pattern.
type cell struct {
	r        rune
	any, run bool // one character, any number of them
	within   bool // none of them a colon
}

// plain makes cells of text with wildcards and no variables.
func plain(text string) []cell {
	var cells []cell
	for _, r := range text {
		cells = append(cells, cell{r: r, any: r == '?', run: r == '*'})
	}
	return cells
}

var variable = regexp.MustCompile(`^\$\{([^,}]+)(?:, *'([^']*)')?\}`)

// cells makes cells of text with variables; ok is false if one has no value.
func (e *naive) cells(text string, wild bool) (cells []cell, ok bool) {
	for text != "" {
		if e.version == "2012-10-17" && strings.HasPrefix(text, "${") {
			m := variable.FindStringSubmatch(text)
			if m == nil {
				return nil, false
			}
			value := m[2]
			if len(m[1]) == 1 && strings.Contains("*?$", m[1]) {
				value = m[1]
			} else {
				var given []string
				if e.r.Keys != nil && !strings.Contains(multivalued, " "+strings.ToLower(m[1])+" ") {
					given, _ = e.r.Keys.Values(strings.ToLower(m[1]))
				}
				if len(given) == 1 && given[0] != "" {
					value = given[0]
				} else if !strings.Contains(m[0], ",") {
					return nil, false
				}
			}
			for _, r := range value {
				cells = append(cells, cell{r: r})
			}
			text = text[len(m[0]):]
			continue
		}
		for _, r := range text {
			cells = append(cells, cell{r: r, any: wild && r == '?', run: wild && r == '*'})
			text = text[len(string(r)):]
			break
		}
	}
	return cells, true
}

// fit fills a table: does the text up to here fit the cells up to here?
func fit(cells []cell, text string) bool {
	runes := []rune(text)
	row := make([]bool, len(runes)+1)
	row[0] = true
	for _, c := range cells {
		next := make([]bool, len(runes)+1)
		for i := range next {
			switch {
			case c.run:
				next[i] = row[i] || i > 0 && next[i-1] && !(c.within && runes[i-1] == ':')
			case i > 0:
				next[i] = row[i-1] && (c.any && !(c.within && runes[i-1] == ':') || !c.any && c.r == runes[i-1])
			}
		}
		row = next
	}
	return row[len(runes)]
}
