package outcrop

import (
	"context"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
)

// listProcesses tells how the processes stand that serve models. They serve all
// accounts, so only the management account sees them.
func (s *Service) listProcesses(_ context.Context, c *call.Call, _ *api.ListModelProcessesInput) (*api.ListModelProcessesOutput, error) {
	if c.Principal.Account != s.cfg.Directory.Management() {
		return nil, apierr.AccessDenied("Only principals of the management account may see the processes of models.")
	}
	out := &api.ListModelProcessesOutput{Processes: []api.ModelProcess{}}
	if s.cfg.Processes == nil {
		return out, nil
	}
	all := s.cfg.Processes.Processes()
	for i := range all {
		p := &all[i]
		v := api.ModelProcess{
			WeightsId: &p.Weights, Mode: new(string(p.Mode)), State: new(api.ModelProcessState(strings.ToUpper(string(p.State)))), Since: date(p.Since.UTC()),
			ProcessId: size(int64(p.PID)), MemoryEstimateBytes: size(p.Estimate), MemoryBytes: size(p.Memory),
			Slots: new(int64(p.Slots)), BusySlots: new(int64(p.Busy)), QueueLength: new(int64(p.Waiting)), Restarts: new(int64(p.Restarts)),
			Replica: new(int64(p.Replica)), Pinned: &p.Pinned, SafeMode: &p.Safe, Build: some(p.Build), Failure: some(p.Err),
		}
		if p.State == engine.Loading {
			v.Progress = &p.Progress
		}
		out.Processes = append(out.Processes, v)
	}
	return out, nil
}

// size is n, or nil when it is 0, which stands for unknown.
func size(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}
