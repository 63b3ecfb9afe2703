package app_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/valkeytest"
)

// Two servers keep one quota when they count in the same place, also across a
// restart; and when nobody can count, nobody is let through.
func TestValkey(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	shared := valkeytest.Start(t, password)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(data string) *apptest.Server {
		return apptest.Start(t, apptest.Data(data), apptest.Engine(scripted.New(scripted.Reply{Text: "Hello."})),
			apptest.Log(slog.New(slog.DiscardHandler)), // it may tell of the server that is gone
			apptest.Config(func(c *app.Config) {
				c.Valkey = app.Valkey{Addresses: []string{shared.Address}, PasswordFile: file, Timeout: 10e9}
			}))
	}
	var servers [2]*apptest.Server
	for i := range servers {
		data := t.TempDir()
		s := start(data)
		s.Stop(t)
		limitDay(t, data, s.Account, 3)
		servers[i] = start(data)
	}
	say := func(s *apptest.Server) string {
		_, err := s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{
			ModelId:  new("amazon.titan-text-lite-v1"),
			Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Hi"}}}},
		}, func(o *bedrockruntime.Options) { o.Retryer = aws.NopRetryer{} })
		switch {
		case err == nil:
			return "ok"
		case errors.As(err, new(*types.ThrottlingException)):
			return "throttled"
		case errors.As(err, new(*types.ServiceUnavailableException)):
			return "unavailable"
		}
		return err.Error()
	}
	for i, want := range []string{"ok", "ok", "ok", "throttled", "throttled"} {
		if got := say(servers[i%2]); got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
	}
	servers[0].Stop(t)
	servers[0] = start(servers[0].Data)
	if got := say(servers[0]); got != "throttled" {
		t.Errorf("after a restart: %s", got)
	}
	shared.Stop(t)
	if got := say(servers[1]); got != "unavailable" {
		t.Errorf("without the shared server: %s", got)
	}
}

// limitDay sets the requests of a day in a data directory.
func limitDay(t *testing.T, data, account string, n int64) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(data, "outcrop.db")})
	if err != nil {
		t.Fatal(err)
	}
	q, err := quota.Open(t.Context(), quota.Config{Records: db})
	if err == nil {
		err = q.Set(t.Context(), quota.Setting{Account: account, Kind: quota.RequestsDay, Value: n})
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// What cannot work is refused at the start, and the message names the place.
func TestValkeyErrors(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]app.Valkey{
		"valkey: addresses: \"here\" is not": {Addresses: []string{"here"}},
		"valkey: addresses are missing":      {TLS: true},
		"valkey: user: password_file":        {Addresses: []string{"127.0.0.1:1"}, User: "a"},
		"valkey: ca_file: set tls":           {Addresses: []string{"127.0.0.1:1"}, CAFile: "a"},
		"valkey: timeout must not":           {Addresses: []string{"127.0.0.1:1"}, Timeout: -1},
		"valkey: prefix must hold":           {Addresses: []string{"127.0.0.1:1"}, Prefix: "a:b"},
		"valkey: password_file":              {Addresses: []string{"127.0.0.1:1"}, PasswordFile: "/no/such/file"},
		"valkey: connect to 127.0.0.1:1":     {Addresses: []string{"127.0.0.1:1"}},
	} {
		_, err := app.New(t.Context(), app.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Valkey: v}, nil, scriptedEngine)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
