package app_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/object"
	objectfs "github.com/outcrop/outcrop/internal/object/fs"
)

// A document at an s3Location comes from the objects of the caller's account,
// and of no other.
func TestDocumentOfTheObjectStore(t *testing.T) {
	t.Parallel()
	e, last := overheard()
	srv := apptest.Start(t, apptest.Engine(e))
	store, err := objectfs.Open(filepath.Join(srv.Data, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() // read by the server, from now on
	if err := store.CreateBucket(t.Context(), srv.Account, "papers"); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), srv.Account, object.Ref{Bucket: "papers", Key: "granite.txt"}, strings.NewReader("Granite is hard."), object.Options{}); err != nil {
		t.Fatal(err)
	}
	ask := func(c *bedrockruntime.Client, model, uri string) error {
		_, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(model), Messages: []types.Message{{
			Role: types.ConversationRoleUser, Content: []types.ContentBlock{
				&types.ContentBlockMemberText{Value: "What is granite?"},
				&types.ContentBlockMemberDocument{Value: types.DocumentBlock{
					Name: new("granite"), Format: types.DocumentFormatTxt,
					Source: &types.DocumentSourceMemberS3Location{Value: types.S3Location{Uri: new(uri)}},
				}},
			},
		}}})
		return err
	}
	if err := ask(srv.Runtime(), haiku, "s3://papers/granite.txt"); err != nil {
		t.Fatal(err)
	}
	seen, err := json.Marshal(last().Messages)
	if err != nil || !strings.Contains(string(seen), "Granite is hard.") {
		t.Errorf("the engine got %s", seen)
	}
	// Models of Amazon need no agreement, which another account would have to make.
	other := bedrockruntime.NewFromConfig(srv.AWS(srv.NewKey(t, "222233334444", keys.SigV4)))
	for name, err := range map[string]error{
		"no object":       ask(srv.Runtime(), haiku, "s3://papers/basalt.txt"),
		"another account": ask(other, "amazon.nova-lite-v1:0", "s3://papers/granite.txt"),
	} {
		if wantCode(t, name, err, "ValidationException"); err != nil && !strings.Contains(err.Error(), "messages.0.content.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
