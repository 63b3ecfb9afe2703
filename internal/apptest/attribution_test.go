package apptest_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	runtime "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

// TestEveryCallHasAName asks as a root, a user, sessions of users, of roles and of
// federated users, with and without permission: the record of each call names who it
// was, and what became of it.
func TestEveryCallHasAName(t *testing.T) {
	t.Parallel()
	replies := make([]scripted.Reply, 10)
	for i := range replies {
		replies[i] = scripted.Reply{Text: "hello"}
	}
	srv := apptest.Start(t, apptest.Engine(scripted.New(replies...)), apptest.Config(func(c *app.Config) { c.Usage.Strict = true }))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	identities := iam.NewFromConfig(srv.AWS(srv.Key))
	user := func(name, policy string) aws.Config {
		_, err := identities.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String(name)})
		must(err)
		_, err = identities.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: aws.String(name), PolicyName: aws.String("p"), PolicyDocument: aws.String(policy)})
		must(err)
		k, err := identities.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String(name)})
		must(err)
		cfg := srv.AWS(srv.Key)
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
		return cfg
	}
	const everything = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["bedrock:*","sts:*"],"Resource":"*"}]}`
	ana := user("ana", everything)
	ben := user("ben", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:List*","Resource":"*"}]}`)
	_, err := identities.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + srv.Account + `"},"Action":"sts:AssumeRole"}]}`)})
	must(err)
	_, err = identities.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("p"), PolicyDocument: aws.String(everything)})
	must(err)
	tokens := sts.NewFromConfig(ana)
	with := func(id, secret, token *string) aws.Config {
		cfg := srv.AWS(srv.Key)
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*id, *secret, *token)
		return cfg
	}
	role, err := tokens.AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + srv.Account + ":role/app"), RoleSessionName: aws.String("run-7")})
	must(err)
	own, err := tokens.GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	must(err)
	fred, err := tokens.GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: aws.String("fred"), Policy: aws.String(everything)})
	must(err)

	for _, c := range []struct {
		as     aws.Config
		want   string // the principal
		status int
	}{
		{srv.AWS(srv.Key), "arn:aws:iam::" + srv.Account + ":root", 200},
		{ana, "arn:aws:iam::" + srv.Account + ":user/ana", 200},
		{ben, "arn:aws:iam::" + srv.Account + ":user/ben", 403},
		{with(role.Credentials.AccessKeyId, role.Credentials.SecretAccessKey, role.Credentials.SessionToken), "arn:aws:sts::" + srv.Account + ":assumed-role/app/run-7", 200},
		{with(own.Credentials.AccessKeyId, own.Credentials.SecretAccessKey, own.Credentials.SessionToken), "arn:aws:iam::" + srv.Account + ":user/ana", 200},
		{with(fred.Credentials.AccessKeyId, fred.Credentials.SecretAccessKey, fred.Credentials.SessionToken), "arn:aws:sts::" + srv.Account + ":federated-user/fred", 200},
	} {
		_, err := bedrockruntime.NewFromConfig(c.as).Converse(t.Context(), &bedrockruntime.ConverseInput{
			ModelId: aws.String("anthropic.claude-v2"), Messages: []runtime.Message{{
				Role: runtime.ConversationRoleUser, Content: []runtime.ContentBlock{&runtime.ContentBlockMemberText{Value: "hi"}}}}})
		if (err == nil) != (c.status == 200) {
			t.Errorf("%s: %v", c.want, err)
		}
		who, err := c.as.Credentials.Retrieve(t.Context())
		must(err)
		r := srv.Usage(t, srv.Account, 1)[0]
		if r.Operation != "Converse" || r.Principal != c.want || r.Status != c.status || r.AccessKeyID != who.AccessKeyID {
			t.Errorf("the record of %s: %+v", c.want, r)
		}
	}
}
