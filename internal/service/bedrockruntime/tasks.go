package bedrockruntime

import (
	"context"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/llm"
)

// several makes the replies of one body, one after the other. Reply i has the
// seed of the body plus i; without a seed each has one of its own anyway.
//
// The input counts once, as AWS bills it; the output and the time count of all.
func (s *Service) several(ctx context.Context, c *call.Call, t *catalog.Target, task family.Several) ([]byte, error) {
	n := task.Replies()
	if n <= 1 {
		return s.generate(ctx, c, t, task)
	}
	c.Whole = true
	all := make([]*llm.Response, n)
	for i := range n {
		r := *task.Request()
		if seed := r.Params.Seed; seed != nil {
			r.Params.Seed = new(*seed + int64(i))
		}
		before, latency, first := c.Usage, c.Latency, c.FirstToken
		c.Usage, c.Latency, c.FirstToken = llm.Usage{}, 0, 0 // a reply may fail before it writes its own
		resp, err := llm.Collect(s.cfg.Inference.Generate(ctx, c, t, &r))
		if i > 0 {
			before.OutputTokens += c.Usage.OutputTokens
			c.Usage, c.FirstToken = before, first
			c.Latency += latency
		}
		if err != nil {
			return nil, unary(err)
		}
		all[i] = resp
	}
	return task.Responses(all)
}

func (s *Service) rank(ctx context.Context, c *call.Call, t *catalog.Target, task family.Ranking) ([]byte, error) {
	resp, err := s.cfg.Inference.Rank(ctx, c, t, task.Request())
	if err != nil {
		return nil, unary(err)
	}
	return task.Response(resp)
}

func (s *Service) picture(ctx context.Context, c *call.Call, t *catalog.Target, task family.Picture) ([]byte, error) {
	resp, err := s.cfg.Inference.Picture(ctx, c, t, task.Request())
	if err != nil {
		return nil, unary(err)
	}
	return task.Response(resp)
}
