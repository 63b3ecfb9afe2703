package llamacpp_test

const roleVar = "OUTCROP_TEST_ROLE"

func roles() map[string]func() int { return nil }
