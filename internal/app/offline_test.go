package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

// TestNoTelemetry: a server that starts, serves and stops connects nowhere. Each
// connection out of it would leave a record beside those of its callers.
func TestNoTelemetry(t *testing.T) {
	t.Parallel()
	for _, off := range []bool{false, true} {
		s := apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one"}, scripted.Reply{Text: "two"})), apptest.Config(func(c *app.Config) {
			c.FlowLog, c.Egress.Off = new(true), off
		}))
		if _, err := s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")}); err != nil {
			t.Fatal(err)
		}
		out, err := s.Runtime().ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: new(haiku), Messages: said("hi")})
		if err != nil {
			t.Fatal(err)
		}
		for range out.GetStream().Events() { // to the end
		}
		if _, err := s.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.STS().GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}); err != nil {
			t.Fatal(err)
		}
		s.Stop(t)
		files, err := filepath.Glob(filepath.Join(s.Data, "flow", "*.log"))
		if err != nil || len(files) == 0 {
			t.Fatalf("flow records %v, %v", files, err)
		}
		in := 0
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				switch f := strings.Fields(line); {
				case f[0] == "version":
				case f[2] == app.DefaultListener && f[12] == "ACCEPT":
					in++
				default:
					t.Errorf("off %v: %s", off, line)
				}
			}
		}
		if in == 0 {
			t.Errorf("off %v: no record of the callers", off)
		}
	}
}
