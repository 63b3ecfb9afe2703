package sts_test

import (
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/service/sts"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

func TestGetCallerIdentity(t *testing.T) {
	t.Parallel()
	routes := sts.New().Routes()
	if len(routes) != 1 || routes[0].Operation.Name != "GetCallerIdentity" || routes[0].Service.Name != "sts" || routes[0].Resources != nil {
		t.Fatalf("routes %+v", routes)
	}
	c := &call.Call{Principal: call.Principal{Account: "111122223333", ARN: "arn:aws:iam::111122223333:root", UserID: "AIDAEXAMPLE"}}
	out, err := routes[0].Serve(t.Context(), c, routes[0].NewInput())
	if err != nil {
		t.Fatal(err)
	}
	got := out.(*api.GetCallerIdentityOutput)
	if *got.Account != c.Principal.Account || *got.Arn != c.Principal.ARN || *got.UserId != c.Principal.UserID {
		t.Errorf("identity %s %s %s", *got.Account, *got.Arn, *got.UserId)
	}
}
