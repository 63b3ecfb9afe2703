//go:build linux && !amd64 && !arm64

package sandbox

import "runtime"

func filter(r *Report) { r.miss(SystemCalls, "no filter for %s", runtime.GOARCH) }
