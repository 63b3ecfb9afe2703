package llamacpp_test

// prey is what a probe in the engine's place tries to reach.
type prey struct {
	Server   int    // the process id of the server
	TCP4     string // addresses of the server's listeners
	TCP6     string // "" without IPv6
	UDP      string
	Abstract string // names of sockets of others
	Socket   string
	Engine   string   // the socket of another engine
	Other    int      // its process id
	Run      string   // the folder of the engines' folders
	Files    []string // of the server: database, keys, credentials in the home folder
	Data     string   // its folder
	Model    string   // the own model
	Foreign  string   // the model of another engine
	Site     string   // the engine's own folder
	Open     string   // a file that the server has open, by mistake, for its children
	Control  bool     // leave out what would do harm outside a sandbox
}

// finding is what came of one attempt.
type finding struct {
	Name    string
	Parts   []string // of the sandbox that deny it, any of them
	Reached bool
	Err     string // how it was denied
}
