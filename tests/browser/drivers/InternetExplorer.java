import com.gargoylesoftware.htmlunit.BrowserVersion;
import com.gargoylesoftware.htmlunit.WebClient;

/** Load a page in HtmlUnit's emulation of an Internet Explorer: InternetExplorer VERSION URL. Ends when it is ended. */
public class InternetExplorer {
    public static void main(String[] arguments) throws Exception {
        BrowserVersion version = (BrowserVersion)
            BrowserVersion.class.getField("INTERNET_EXPLORER_" + arguments[0]).get(null);
        WebClient client = new WebClient(version);
        client.getOptions().setThrowExceptionOnScriptError(false);
        client.getOptions().setThrowExceptionOnFailingStatusCode(false);
        client.getPage(arguments[1]);
        Thread.sleep(Long.MAX_VALUE); // The page's timers and requests have threads of their own.
    }
}
