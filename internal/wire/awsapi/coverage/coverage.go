// Package coverage renders which operations of the AWS APIs Outcrop serves.
package coverage

import (
	"bytes"
	"fmt"

	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// Render returns docs/coverage.md: a table with one row per service and, for
// each service, a table with one row per operation in the order of the
// service's operation table.
//
// bound says whether an operation has a handler; service is Service.Name and
// operation is Operation.Name. The output depends on the arguments alone.
func Render(services []*awsapi.Service, bound func(service, operation string) bool) []byte {
	var b bytes.Buffer
	b.WriteString("# Coverage of the AWS APIs\n\n")
	b.WriteString("Generated from the operation tables; do not edit. A *bound* operation has a\n")
	b.WriteString("handler. A *missing* one is answered with 501 in the form of an AWS error.\n\n")
	b.WriteString("*Access* is the level of the IAM action in the Service Authorization Reference.\n\n")
	b.WriteString("| Service | API version | Operations | Bound | Missing |\n|-|-|-:|-:|-:|\n")
	var all, done int
	for _, s := range services {
		n := countBound(s, bound)
		all, done = all+len(s.Operations), done+n
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %d | %d |\n",
			s.Name, s.Name, s.APIVersion, len(s.Operations), n, len(s.Operations)-n)
	}
	fmt.Fprintf(&b, "| all | | %d | %d | %d |\n", all, done, all-done)
	for _, s := range services {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Name)
		b.WriteString("| Operation | Route | IAM action | Access | State |\n|-|-|-|-|-|\n")
		for i := range s.Operations {
			op := &s.Operations[i]
			state := "missing"
			if bound(s.Name, op.Name) {
				state = "bound"
			}
			fmt.Fprintf(&b, "| %s | `%s` | `%s` | %s | %s |\n", op.Name, route(s, op), op.Action, op.Access, state)
		}
	}
	return b.Bytes()
}

// route is what tells an operation from the others of its service.
func route(s *awsapi.Service, op *awsapi.Operation) string {
	switch s.Protocol {
	case "query":
		return "Action=" + op.Name
	case "json":
		return "X-Amz-Target: " + s.TargetPrefix + "." + op.Name
	}
	return op.Method + " " + op.URI
}

// countBound counts the operations of s that have a handler.
func countBound(s *awsapi.Service, bound func(service, operation string) bool) int {
	n := 0
	for i := range s.Operations {
		if bound(s.Name, s.Operations[i].Name) {
			n++
		}
	}
	return n
}
