package llamacpp

import (
	"fmt"
	"os"
	"time"
)

// version tells one state of some weights' files from another.
type version struct {
	file             File
	model, projector stamp
}

// stamp is what the file system says of a file.
type stamp struct {
	size int64
	made time.Time
}

func stampOf(path string) (stamp, error) {
	if path == "" {
		return stamp{}, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return stamp{}, fmt.Errorf("open weights: %w", err)
	}
	return stamp{st.Size(), st.ModTime()}, nil
}

func versionOf(f File) (v version, err error) {
	v.file = f
	if v.model, err = stampOf(f.Path); err == nil {
		v.projector, err = stampOf(f.Projector)
	}
	return v, err
}
