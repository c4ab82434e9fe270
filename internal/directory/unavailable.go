package directory

// This file names the keys of the field that this version does not build. They
// are refused by name: an administrator who writes one relies on it, and a
// server that ignored it would be less safe than its file says.
//
// The tables are in lower case. A key with a sentence has another way to be
// written, which the sentence names; one without has to go.

func unavailable(keys ...string) map[string]string {
	m := make(map[string]string, len(keys))
	for _, k := range keys {
		m[k] = ""
	}
	return m
}

func with(m map[string]string, sentences map[string]string) map[string]string {
	for k, s := range sentences {
		m[k] = s
	}
	return m
}

func unavailableInFile() map[string]string {
	return with(unavailable(
		"remotedomains", "edgesubscriptions", "edgesync", "mtasts", "mta-sts", "dane", "evidence",
		"mailboxes", "mailbox", "submission", "imap", "pop3", "webmail", "console", "database", "databaseurl",
		"internalsmtpservers", "externallysecured", "ratelimits", "logs", "include", "version",
	), map[string]string{
		"tlssenddomainsecurelist":    "List the domains under partners, with mode: enforce and send: true",
		"tlsreceivedomainsecurelist": "List the domains under partners, with mode: enforce and receive: true",
	})
}

func unavailableInServer() map[string]string {
	return unavailable("databaseurl", "database", "adminaddress", "user", "group", "proxyprotocol", "nodeid", "logformat", "loglevel")
}

func unavailableInCertificate() map[string]string {
	return with(unavailable("friendlyname", "pkcs11", "pkcs12file", "pfxfile", "identity"), map[string]string{
		"password": "Write the key without a password: openssl pkey -in OLD -out NEW",
	})
}

func unavailableInTrust() map[string]string {
	return map[string]string{
		"aia":               "Write fetchIntermediates: true or false",
		"overrides":         "Write overrideUntil: TIME at the partner",
		"crosscertificates": "List them under intermediates, with their scope",
	}
}

func unavailableInRevocation() map[string]string {
	return unavailable("ocsp", "ldap", "bypass", "overrides", "refreshinterval")
}

func unavailableInTransportConfig() map[string]string {
	return with(unavailable(
		"internalsmtpservers", "generatecopyofdsnfor", "internaldelaydsnenabled", "externaldelaydsnenabled",
		"internaldsnsendhtml", "externaldsnsendhtml", "internaldsnreportingauthority", "externaldsnreportingauthority",
		"maxrecipientenvelopelimit", "headerpromotionmodesetting", "verifysecuresubmitenabled", "xexch50enabled",
		"dsnconversionmode", "clearcategories", "shadowredundancyenabled",
	), map[string]string{
		"tlssenddomainsecurelist":    "List the domains under partners, with mode: enforce and send: true",
		"tlsreceivedomainsecurelist": "List the domains under partners, with mode: enforce and receive: true",
		"externalpostmasteraddress":  "Write postmaster: ADDRESS",
		"maxreceivesize":             "Write maxMessageSize in the receive connectors",
		"maxsendsize":                "Write maxMessageSize in the send connectors",
	})
}

func unavailableInPartner() map[string]string {
	return with(unavailable(

		"certificate", "tlsauthlevel", "dane", "mtasts", "permanentrefusals", "minimumtlsversion",
	), map[string]string{
		"aligncommonname":       "Write commonName: true or false under trust",
		"tlsdomain":             "Write nameRule: listed and names: [NAME]",
		"override":              "Write overrideUntil: TIME, at most 7 days ahead",
		"revocationbypass":      "Write overrideUntil: TIME, at most 7 days ahead",
		"bypassrevocationuntil": "Write overrideUntil: TIME, at most 7 days ahead",
	})
}

func unavailableInAcceptedDomain() map[string]string {
	return unavailable("matchsubdomains", "default", "makedefault", "addressbookenabled", "recipients", "catchall")
}

func unavailableInReceiveConnector() map[string]string {
	return with(unavailable(
		"usage", "tlsdomaincapabilities", "messageratesource", "maxlocalhopcount",
		"extendedprotectionpolicy", "suppressxanonymoustls", "enableauthgssapi", "authtarpitinterval", "maxacknowledgementdelay",
		"orarenabled",
		"longaddressesenabled", "enabled", "comment",
		"defaultdomain", "transportrole", "liveidbasicauthimpersonation", "servicediscoveryfqdn", "advertiseclientsettings",
	), map[string]string{
		"barelinefeedrejectionenabled": "Write bareLineFeeds: reject or normalize",
		"externallysecured":            "Write authMechanism: [ExternalAuthoritative], permissionGroups: [ExchangeServers] and remoteIPRanges",
		"proxyprotocol":                "Write proxyProtocolFrom: [RANGE] with the upstreams' addresses",
		"proxyfrom":                    "Write proxyProtocolFrom: [RANGE] with the upstreams' addresses",
	})
}

func unavailableInSendConnector() map[string]string {
	return with(unavailable(
		"usage", "tlsauthlevel", "tlsdomain", "authenticationcredential", "linkedreceiveconnector",
		"isscopedconnector", "comment", "errorpolicies", "connectortype", "cloudservicesmailenabled", "dane", "mtasts",
		"handoff", "frontendproxyenabled", "sourcetransportservers", "homemtaserverid", "authusername", "authpassword", "proxy",
	), map[string]string{
		"usesexternaldnsserversenabled": "Write resolvers under server",
		"useexternaldnsserversenabled":  "Write resolvers under server",
	})
}
