package dsn

import (
	"strings"

	"mailpact/internal/smtp"
)

// explain says in plain words why, and what the sender can do.
func explain(k Kind, r smtp.Reply, lastError string) string {
	why := ""
	switch e := r.Enhanced; {
	case strings.Contains(lastError, "4.7.5") || strings.Contains(lastError, "STARTTLS") || (e[1] == 7 && e[2] == 5):
		why = "This domain may be reached only over a connection that proves who it is, and that proof failed. " +
			"Your message was not sent any other way. Please tell your administrator, who will find the reason below."
	case e[1] == 4 && e[2] == 7:
		why = "The recipient's mail server could not be reached, or did not take the message, for too long. Please try again later or reach the recipient another way."
	case e[1] == 1:
		why = "The address does not exist or cannot receive mail. Please check its spelling."
	case e[1] == 2 && e[2] == 2:
		why = "The recipient's mailbox is full."
	case e[1] == 3 && e[2] == 4:
		why = "The message is larger than the recipient's mail server accepts."
	case e[1] == 7:
		why = "The recipient's mail server does not permit this message."
	case k == KindDelayed:
		why = "The recipient's mail server has not taken the message so far."
	default:
		why = "The recipient's mail server refused the message."
	}
	return why
}
