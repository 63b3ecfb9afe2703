package coverage_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/awsapi/coverage"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func TestRender(t *testing.T) {
	t.Parallel()
	services := []*awsapi.Service{
		{Name: "stones", APIVersion: "2026-01-01", Operations: []awsapi.Operation{
			{Name: "GetStone", Method: "GET", URI: "/stones/{id}/", Action: "rock:GetStone"},
			{Name: "ListStones", Method: "GET", URI: "/stones", Action: "rock:ListStones"},
		}},
		{Name: "sand", APIVersion: "2026-02-02", Operations: []awsapi.Operation{
			{Name: "Pour", Method: "POST", URI: "/", Action: "rock:Pour"},
		}},
	}
	got := coverage.Render(services, func(service, operation string) bool {
		return service == "stones" && operation == "GetStone"
	})
	const want = `# Coverage of the AWS APIs

Generated from the operation tables; do not edit. A *bound* operation has a
handler. A *missing* one is answered with 501 in the form of an AWS error.

| Service | API version | Operations | Bound | Missing |
|-|-|-:|-:|-:|
| [stones](#stones) | 2026-01-01 | 2 | 1 | 1 |
| [sand](#sand) | 2026-02-02 | 1 | 0 | 1 |
| all | | 3 | 1 | 2 |

## stones

| Operation | Route | IAM action | State |
|-|-|-|-|
| GetStone | ` + "`GET /stones/{id}/` | `rock:GetStone`" + ` | bound |
| ListStones | ` + "`GET /stones` | `rock:ListStones`" + ` | missing |

## sand

| Operation | Route | IAM action | State |
|-|-|-|-|
| Pour | ` + "`POST /` | `rock:Pour`" + ` | missing |
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Fatalf("Render (-want +got):\n%s", d)
	}
}

// The real tables must not hold text that breaks a table row.
func TestRenderRealTables(t *testing.T) {
	t.Parallel()
	services := []*awsapi.Service{&bedrock.Model, &sts.Model}
	got := coverage.Render(services, func(string, string) bool { return false })
	rows := 0
	for line := range bytes.Lines(got) {
		if bytes.HasSuffix(line, []byte(" missing |\n")) && bytes.Count(line, []byte("|")) == 5 {
			rows++
		}
	}
	if want := len(bedrock.Model.Operations) + len(sts.Model.Operations); rows != want {
		t.Fatalf("%d operation rows, want %d", rows, want)
	}
}
