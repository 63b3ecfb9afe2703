package awsquery

import (
	"strconv"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func BenchmarkAssumeRole(b *testing.B) {
	form := []byte("Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr&RoleSessionName=session&DurationSeconds=3600" +
		"&Tags.member.1.Key=team&Tags.member.1.Value=ml&Tags.member.2.Key=cost&Tags.member.2.Value=42&TransitiveTagKeys.member.1=team")
	b.ReportAllocs()
	for b.Loop() {
		p, err := Parse("", form)
		if err != nil {
			b.Fatal(err)
		}
		if err := Decode(&sts.Model, sts.OpAssumeRole.Operation, p, new(sts.AssumeRoleInput)); err != nil {
			b.Fatal(err)
		}
	}
}

// What a stranger can make of 64 KiB: names of as many parts as are allowed.
func BenchmarkDeepNames(b *testing.B) {
	var form strings.Builder
	for i := 0; form.Len() < 64<<10; i++ {
		form.WriteString("&" + strconv.Itoa(i) + strings.Repeat(".a", maxParts-1))
	}
	text := []byte(form.String())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("", text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendListUsers(b *testing.B) {
	out := &iam.ListUsersOutput{IsTruncated: new(false), Users: make([]iam.User, 100)}
	for i := range out.Users {
		out.Users[i] = iam.User{UserName: new("user" + strconv.Itoa(i)), Path: new("/"), UserId: new("AIDA0123456789ABCDEFG"), Arn: new("arn:aws:iam::123456789012:user/user")}
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = AppendOutput(buf[:0], &iam.Model, iam.OpListUsers.Operation, out, "r"); err != nil {
			b.Fatal(err)
		}
	}
}
