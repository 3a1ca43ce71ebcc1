module github.com/perwatt/perwatt/results/report/chart/_widths

go 1.26.0

require (
	codeberg.org/go-fonts/dejavu v0.4.0
	codeberg.org/go-fonts/liberation v0.5.0
	golang.org/x/image v0.47.0
)

require golang.org/x/text v0.43.0 // indirect
