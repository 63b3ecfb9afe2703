package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

// The page is there where the configuration says so, and counts calls; elsewhere
// the path is one that no operation has.
func TestMetrics(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "Hello."})), apptest.Config(func(c *app.Config) { c.Metrics = on }))
		_, err := s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{
			ModelId:  new("amazon.titan-text-lite-v1"),
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "a-secret-prompt"}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.Get(s.Endpoint + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		_ = r.Body.Close() // it was read to its end
		if err != nil {
			t.Fatal(err)
		}
		if on != (r.StatusCode == http.StatusOK) || on != strings.Contains(string(text), `outcrop_calls_total{code="ok",operation="Converse"} 1`) {
			t.Errorf("metrics %v: status %d", on, r.StatusCode)
		}
		for _, secret := range []string{"a-secret-prompt", s.Account, s.Key.ID} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the page holds %s", secret)
			}
		}
	}
}
