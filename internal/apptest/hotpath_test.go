package apptest_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	runtime "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
)

// TestDecisionsReadNoDatabase takes the tables with keys, users, policies, tags,
// resource policies, agreements and inference profiles away from a running server.
// A user's calls through a tagged profile are known and decided as before, for longer
// than anything is believed without a word of the store: all of it stands in memory.
func TestDecisionsReadNoDatabase(t *testing.T) {
	t.Parallel()
	replies := make([]scripted.Reply, 10)
	for i := range replies {
		replies[i] = scripted.Reply{Text: "hello"}
	}
	srv := apptest.Start(t, apptest.Engine(scripted.New(replies...)))
	control, identities := srv.Bedrock(), iam.NewFromConfig(srv.AWS(srv.Key))
	ana := aws.String("ana")
	if _, err := identities.CreateUser(t.Context(), &iam.CreateUserInput{UserName: ana}); err != nil {
		t.Fatal(err)
	}
	if _, err := identities.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: ana, PolicyName: aws.String("p"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"},
		{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/class":"secret"}}}]}`)}); err != nil {
		t.Fatal(err)
	}
	made, err := identities.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: ana})
	if err != nil {
		t.Fatal(err)
	}
	profile := func(name, class string) *string {
		out, err := control.CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{
			InferenceProfileName: aws.String(name), Tags: []types.Tag{{Key: aws.String("class"), Value: aws.String(class)}},
			ModelSource: &types.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.InferenceProfileArn
	}
	open, closed := profile("open", "public"), profile("closed", "secret")
	rt := bedrockruntime.NewFromConfig(srv.AWS(keys.Created{Key: keys.Key{ID: *made.AccessKey.AccessKeyId}, Secret: secret.NewString(*made.AccessKey.SecretAccessKey)}))
	ask := func(id *string) error {
		_, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: id, Messages: []runtime.Message{{
			Role: runtime.ConversationRoleUser, Content: []runtime.ContentBlock{&runtime.ContentBlockMemberText{Value: "hi"}}}}})
		return err
	}
	both := func(when string) {
		t.Helper()
		if err := ask(open); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		if ask(closed) == nil {
			t.Errorf("%s: the tag is not asked for", when)
		}
	}
	// denied asks again and again for a while; what is closed stays so.
	denied := func(when string, long time.Duration) {
		t.Helper()
		for begin := time.Now(); time.Since(begin) < long; {
			if err := ask(closed); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
				t.Fatalf("%s, after %v: %v", when, time.Since(begin), err)
			}
		}
	}
	both("before")
	denied("before", 600*time.Millisecond) // the store has told by now that a key was made
	db, err := sql.Open("sqlite", "file:"+filepath.Join(srv.Data, "outcrop.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // the server has its own
	rename := func(from, to string) {
		t.Helper()
		for _, table := range []string{"access_keys", "records", "inference_profiles"} {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+table+" RENAME TO "+to+table); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename("", "hidden_")
	denied("without the tables", 1500*time.Millisecond)
	both("without the tables")
	if _, err := identities.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("bob")}); err == nil {
		t.Error("a user is made without the tables: the test hides nothing")
	}
	rename("hidden_", "")
	both("after")
}
