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
			{Name: "GetStone", Method: "GET", URI: "/stones/{id}/", Action: "rock:GetStone", Access: awsapi.AccessRead},
			{Name: "ListStones", Method: "GET", URI: "/stones", Action: "rock:ListStones", Access: awsapi.AccessList},
		}},
		{Name: "sand", APIVersion: "2026-02-02", Protocol: "query", Operations: []awsapi.Operation{
			{Name: "Pour", Method: "POST", URI: "/", Action: "rock:Pour"},
		}},
		{Name: "mud", APIVersion: "2026-03-03", Protocol: "json", TargetPrefix: "Mud2026", Operations: []awsapi.Operation{
			{Name: "Stir", Method: "POST", URI: "/", Action: "mud:Stir", Access: awsapi.AccessWrite},
		}},
	}
	got := coverage.Render(services, func(service, operation string) bool {
		return service == "stones" && operation == "GetStone"
	})
	const want = `# Coverage of the AWS APIs

Generated from the operation tables; do not edit. A *bound* operation has a
handler. A *missing* one is answered with 501 in the form of an AWS error.

*Access* is the level of the IAM action in the Service Authorization Reference.

| Service | API version | Operations | Bound | Missing |
|-|-|-:|-:|-:|
| [stones](#stones) | 2026-01-01 | 2 | 1 | 1 |
| [sand](#sand) | 2026-02-02 | 1 | 0 | 1 |
| [mud](#mud) | 2026-03-03 | 1 | 0 | 1 |
| all | | 4 | 1 | 3 |

## stones

| Operation | Route | IAM action | Access | State |
|-|-|-|-|-|
| GetStone | ` + "`GET /stones/{id}/` | `rock:GetStone`" + ` | Read | bound |
| ListStones | ` + "`GET /stones` | `rock:ListStones`" + ` | List | missing |

## sand

| Operation | Route | IAM action | Access | State |
|-|-|-|-|-|
| Pour | ` + "`Action=Pour` | `rock:Pour`" + ` |  | missing |

## mud

| Operation | Route | IAM action | Access | State |
|-|-|-|-|-|
| Stir | ` + "`X-Amz-Target: Mud2026.Stir` | `mud:Stir`" + ` | Write | missing |
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
		if bytes.HasSuffix(line, []byte(" missing |\n")) && bytes.Count(line, []byte("|")) == 6 {
			rows++
		}
	}
	if want := len(bedrock.Model.Operations) + len(sts.Model.Operations); rows != want {
		t.Fatalf("%d operation rows, want %d", rows, want)
	}
}
