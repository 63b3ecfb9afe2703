// Package route finds the operation that an HTTP method and path ask for.
//
// It works on the path as it came over the wire, still percent-encoded, because
// an encoded slash belongs to a label ("arn%3Aaws%3A...%2Fanthropic.claude-v2")
// and a bare one ends a segment. Nothing is cleaned and nothing redirected: a
// trailing slash tells operations apart, and a redirect would break a signature.
package route

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/arn"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

const (
	maxLabels   = 6  // more than any template has; a template with more is refused by New
	maxSegments = 32 // a longer path has no operation
)

// Matcher holds the operation tables of several services as one tree. It is
// immutable and safe for concurrent use.
type Matcher struct {
	root node
}

// Match is an operation with the values of its path labels.
type Match struct {
	Service   *awsapi.Service
	Operation *awsapi.Operation

	labels [maxLabels]string
	n      int
}

// Labels returns the values of the template's labels in the order in which they
// stand there, each percent-decoded exactly once. The slice points into m.
func (m *Match) Labels() []string { return m.labels[:m.n] }

// node is one position in the tree of templates. A path runs along literals,
// which win, or along the label.
type node struct {
	literals map[string]*node
	label    *node
	greedy   bool       // this label takes any number of segments: {name+}
	ends     [2][]ended // templates that end here, without and with a trailing slash
}

// ended is the row of one method at a node.
type ended struct {
	method string
	rows   []row
}

type row struct {
	service   *awsapi.Service
	operation *awsapi.Operation
}

// New builds a matcher over the operations of all services that speak
// rest-json; others are left out, since they do not route by path.
//
// Operations may share method and template only when they are the tag operations
// of bedrock-agent, bedrock-agent-runtime and accessanalyzer, which Match tells
// apart by the ARN in the label. Any other clash, and a template that this package
// cannot express, is an error.
func New(services ...*awsapi.Service) (*Matcher, error) {
	m := new(Matcher)
	for _, s := range services {
		if s.Protocol != "rest-json" {
			continue
		}
		for i := range s.Operations {
			if err := m.add(row{s, &s.Operations[i]}); err != nil {
				return nil, fmt.Errorf("route %s %s: %w", s.Name, s.Operations[i].Name, err)
			}
		}
	}
	return m, nil
}

func (m *Matcher) add(r row) error {
	uri := r.operation.URI
	rest, ok := strings.CutPrefix(uri, "/")
	if !ok || strings.Contains(uri, "?") {
		return fmt.Errorf("template %q is not a plain path", uri)
	}
	rest, slash := strings.CutSuffix(rest, "/")
	n, labels := &m.root, 0
	if rest != "" {
		for seg := range strings.SplitSeq(rest, "/") {
			name, isLabel, greedy, err := parseSegment(seg)
			if err != nil {
				return fmt.Errorf("template %q: %w", uri, err)
			}
			if !isLabel {
				n = n.literal(name)
				continue
			}
			labels++
			if n.label == nil {
				n.label = &node{greedy: greedy}
			}
			if n.label.greedy != greedy {
				return fmt.Errorf("template %q: a greedy and a plain label at the same place", uri)
			}
			n = n.label
		}
	}
	if labels > maxLabels {
		return fmt.Errorf("template %q has more than %d labels", uri, maxLabels)
	}
	return n.end(r, slash && rest != "")
}

// parseSegment reads one segment of a template.
func parseSegment(seg string) (name string, label, greedy bool, err error) {
	name = seg
	if inner, ok := strings.CutPrefix(seg, "{"); ok {
		if inner, ok = strings.CutSuffix(inner, "}"); ok {
			name, greedy = strings.CutSuffix(inner, "+")
			label = true
		}
	}
	if name == "" || strings.ContainsAny(name, "{}+%") {
		return "", false, false, fmt.Errorf("segment %q", seg)
	}
	return name, label, greedy, nil
}

func (n *node) literal(name string) *node {
	if n.literals == nil {
		n.literals = make(map[string]*node)
	}
	next := n.literals[name]
	if next == nil {
		next = new(node)
		n.literals[name] = next
	}
	return next
}

func (n *node) end(r row, slash bool) error {
	rows := &n.ends[0]
	if slash {
		rows = &n.ends[1]
	}
	for i := range *rows {
		e := &(*rows)[i]
		if e.method != r.operation.Method {
			continue
		}
		e.rows = append(e.rows, r)
		if !tagSiblings(e.rows) {
			return fmt.Errorf("%s %s is also %s %s", r.operation.Method, r.operation.URI, e.rows[0].service.Name, e.rows[0].operation.Name)
		}
		return nil
	}
	*rows = append(*rows, ended{r.operation.Method, []row{r}})
	return nil
}

// The services whose templates below tagsPrefix are equal. The ARN in the label
// tells them apart: Access Analyzer's by its service, a session of the agents'
// runtime by its resource type; all others belong to bedrock-agent.
const (
	agentService    = "bedrock-agent"
	runtimeService  = "bedrock-agent-runtime"
	analyzerService = "accessanalyzer"
	analyzerARN     = "access-analyzer"
	sessionPrefix   = "session/"
	tagsPrefix      = "/tags/"
)

// tagSiblings says whether rows, which share method and template, are of
// different services that choose knows.
func tagSiblings(rows []row) bool {
	for i, r := range rows {
		switch name := r.service.Name; {
		case !strings.HasPrefix(r.operation.URI, tagsPrefix):
			return false
		case name != agentService && name != runtimeService && name != analyzerService:
			return false
		case slices.ContainsFunc(rows[:i], func(o row) bool { return o.service.Name == name }):
			return false
		}
	}
	return true
}

// choose picks between tag siblings by the resource that the label names.
func choose(rows []row, label string) row {
	if len(rows) == 1 {
		return rows[0]
	}
	want := agentService
	if a, err := arn.Parse(label); err == nil {
		switch {
		case a.Service == analyzerARN:
			want = analyzerService
		case strings.HasPrefix(a.Resource, sessionPrefix):
			want = runtimeService
		}
	}
	i := slices.IndexFunc(rows, func(r row) bool { return r.service.Name == want })
	return rows[max(i, 0)]
}

// Match returns the operation that answers method at escapedPath, the path as
// received (URL.EscapedPath). Literal segments win over labels. A label takes
// one segment; a value that begins with "arn:" may take several, because some
// SDKs send the slashes of an ARN bare, and takes as few as lead to a match.
//
// Errors, both *apierr.Error: ValidationException 400 for a path that does not
// begin with a slash, has a bad percent escape, an empty or dot segment (also
// percent-encoded), a control character or invalid UTF-8;
// UnknownOperationException 404 when no operation has this path and method.
func (m *Matcher) Match(method, escapedPath string) (Match, error) {
	var w walker
	if err := w.split(escapedPath); err != nil {
		return Match{}, err
	}
	w.method = method
	var out Match
	if !w.walk(&m.root, 0) {
		if w.otherMethod {
			return out, apierr.New(apierr.CodeUnknownOperation, http.StatusNotFound, "This path has operations, but none with this HTTP method.")
		}
		return out, apierr.New(apierr.CodeUnknownOperation, http.StatusNotFound, "No operation of this API has this path.")
	}
	out.n = w.labels
	for i, s := range w.spans[:w.labels] {
		if s.to == s.from+1 {
			out.labels[i] = w.segs[s.from]
		} else {
			out.labels[i] = strings.Join(w.segs[s.from:s.to], "/")
		}
	}
	r := choose(w.found, out.labels[0])
	out.Service, out.Operation = r.service, r.operation
	return out, nil
}
