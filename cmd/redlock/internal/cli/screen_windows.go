package cli

import "os"

func notifyScreen(chan os.Signal) {}

func (*screen) obey(os.Signal) {}
