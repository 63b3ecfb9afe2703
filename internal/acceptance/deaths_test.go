package acceptance

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// deaths is a log that counts loads of engine processes and deaths that nobody asked
// for.
type deaths struct{ loads, deaths atomic.Int64 }

func (d *deaths) logger() *slog.Logger { return slog.New(d) }

func (*deaths) Enabled(context.Context, slog.Level) bool { return true }

func (d *deaths) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "engine process ready":
		d.loads.Add(1)
	case "engine process died":
		d.deaths.Add(1)
	}
	return nil
}

func (d *deaths) WithAttrs([]slog.Attr) slog.Handler { return d }

func (d *deaths) WithGroup(string) slog.Handler { return d }
