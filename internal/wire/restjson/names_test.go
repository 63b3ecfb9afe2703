package restjson

import (
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// AWS's messages begin names with a small letter: "Value 'a b' at
// 'roleSessionName' failed to satisfy constraint".
func TestValidateNamesMembersAsAWSDoes(t *testing.T) {
	t.Parallel()
	err := New().Validate(&sts.Model, sts.OpAssumeRole.Operation, &sts.AssumeRoleInput{
		RoleSessionName: new("a b"),
		Tags:            []sts.Tag{{Key: new("k"), Value: new("v")}, {Key: new("!"), Value: new("v")}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"3 validation errors detected", "Value null at 'roleArn' failed to satisfy constraint: Member must not be null",
		`Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`,
		"Value '!' at 'tags.2.member.key'",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}
