package dsn

import (
	"strings"

	"mailpact/internal/smtp"
)

// explain says in plain words what happened to a recipient, why, and what the
// sender can do.
func explain(k Kind, r smtp.Reply, lastError string) string {
	why, todo := reason(k, r, lastError)
	if k == KindFailed && expired(r) {
		return "Delivery was tried until the message expired. " + why + " " + todo
	}
	if k == KindDelayed {
		return why + " Delivery goes on being tried; you need do nothing yet."
	}
	return why + " " + todo
}

// expired reports the code of a message whose time was over (RFC 3463, section 3.5).
func expired(r smtp.Reply) bool { return r.Enhanced[1] == 4 && r.Enhanced[2] == 7 }

// reason is the table of causes. The words of a remote host choose no row but
// by their codes: what is said about a partner's proof comes from our own texts.
func reason(k Kind, r smtp.Reply, lastError string) (why, todo string) {
	const other = "Please reach the recipient another way, or ask your administrator, who finds the details below."
	switch e := r.Enhanced; {
	case e[1] == 7 && e[2] == 5, strings.Contains(lastError, "Certificate validation failure"):
		return "The recipient's domain may be reached only over a connection that proves who it is, and that proof failed. The message was not sent any other way.",
			"Please tell your administrator, who finds the reason below."
	case expired(r):
		return "The recipient's mail server could not be reached, or did not take the message, for too long.",
			"Please send the message again later. " + other
	case e[1] == 1 && e[2] == 10:
		return "The recipient's domain receives no mail.", "Please check the spelling of the address."
	case e[1] == 1 && e[2] == 2:
		return "The recipient's domain does not exist.", "Please check the spelling of the address."
	case e[1] == 1:
		return "The recipient's address does not exist or cannot receive mail.", "Please check its spelling."
	case e[1] == 2 && e[2] == 2:
		return "The recipient's mailbox is full.", "Please send the message again later. " + other
	case e[1] == 3 && e[2] == 4:
		return "The message is larger than the recipient's mail server takes.", "Please make it smaller, for example by sending a link to a large file."
	case e[1] == 4 && e[2] == 6:
		return "The message would have come back to the server that sends it.", "Please tell your administrator."
	case e[1] == 3 && e[2] == 0 && len(r.Lines) > 0 && strings.HasPrefix(r.Lines[0], "QUEUE.Admin;"):
		return "An administrator of this server has removed the message before it was delivered.", "Please ask your administrator before you send it again."
	case e[1] == 6 && e[2] == 3:
		return "The message is in a binary form that the recipient's mail server does not take.", "Please send it again with the usual settings of your mail program, or ask your administrator."
	case e[1] == 6 && e[2] == 7:
		return "The message has an address or a header with letters that the recipient's mail server does not take (it does not know SMTPUTF8).",
			"Please use addresses in plain letters, or reach the recipient another way."
	case e[1] == 6:
		return "The recipient's mail server cannot take a message of this form.", other
	case e[1] == 7:
		return "The recipient's mail server does not permit this message.", other
	case k == KindDelayed:
		return "The recipient's mail server has not taken the message so far.", ""
	default:
		return "The recipient's mail server refused the message.", other
	}
}
